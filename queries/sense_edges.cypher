// name: sense_edges
// summary: A circuit through one sense: what feeds it, and all evidence of where it goes, attributed to it.
// params:
//   sense: sense — its address
//   top: integer = 10 — rows at most of each kind of evidence
//   limit: integer = 40 — rows at most
// returns:
//   direction: string — up (feeds the sense) or down (what the sense drives)
//   evidence: string — FEEDS_SENSE; FLOWS_TO (over its references); DRIVES (circuits of images assigned to it); ATTRIBUTES_TO (of the classes it serves, by its part of their references)
//   neighbour: string — address of the other neuron
//   score: float — mean relevance, mean sensitivity, mean sensitivity, or summed attribution
//   n: integer — images, circuits or classes it rests on
// key: neighbour, evidence
// cost: report
CALL () {
  MATCH (:Sense {id: $sense})<-[r:FEEDS_SENSE]-(other:Neuron)
  RETURN 'up' AS direction, 'FEEDS_SENSE' AS evidence, other, r.relevance AS score, r.n AS n
  ORDER BY abs(score) DESC, other.id LIMIT $top
  UNION ALL
  MATCH (:Sense {id: $sense})-[r:FLOWS_TO]->(other:Neuron)
  RETURN 'down' AS direction, 'FLOWS_TO' AS evidence, other, r.sensitivity AS score, r.n AS n
  ORDER BY score DESC, other.id LIMIT $top
  UNION ALL
  MATCH (k:Neuron)-[:HAS_SENSE]->(:Sense {id: $sense})<-[:ASSIGNED_TO]-(:Image)<-[:EXPLAINS]-(c:Circuit)
  WITH k, collect(DISTINCT c.id) AS circuits
  MATCH (k)-[r:DRIVES]->(other:Neuron) WHERE r.circuit IN circuits
  WITH other, avg(r.sensitivity) AS score, count(DISTINCT r.circuit) AS n
  RETURN 'down' AS direction, 'DRIVES' AS evidence, other, score, n
  ORDER BY score DESC, other.id LIMIT $top
  UNION ALL
  MATCH (k:Neuron)-[:HAS_SENSE]->(s:Sense {id: $sense})-[mine:SERVES]->(c:Class)
  WITH k, c, mine, COLLECT { MATCH (k)-[:HAS_SENSE]->(:Sense)-[every:SERVES]->(c) RETURN every.images } AS counts
  WITH k, c, toFloat(mine.images) / reduce(total = 0, i IN counts | total + i) AS part
  MATCH (k)-[r:ATTRIBUTES_TO {scope: c.id}]->(other:Neuron) WHERE r.hops = 1
  WITH other, sum(r.score * part) AS score, count(DISTINCT c) AS n
  RETURN 'down' AS direction, 'ATTRIBUTES_TO' AS evidence, other, score, n
  ORDER BY abs(score) DESC, other.id LIMIT $top
}
RETURN direction, evidence, other.id AS neighbour, score, n
ORDER BY direction DESC, evidence, abs(score) DESC, neighbour, evidence
LIMIT $limit
