// name: sense_edges_drawing
// summary: A sense with its neuron, the neurons that feed it and those it flows to.
// params:
//   sense: sense — its address
//   top: integer = 10 — rows at most of each kind of evidence
//   limit: integer = 40 — rows at most
// returns:
//   evidence: string — HAS_SENSE, FEEDS_SENSE or FLOWS_TO
//   neighbour: string — address of the neuron
//   source: node — where the edge starts
//   edge: relationship — of that kind
//   target: node — where it ends
// key: neighbour, evidence
// cost: lookup
// draws: sense_edges
CALL () {
  MATCH (:Sense {id: $sense})<-[r:HAS_SENSE]-(other:Neuron)
  RETURN 'HAS_SENSE' AS evidence, r, other ORDER BY other.id LIMIT $top
  UNION ALL
  MATCH (:Sense {id: $sense})<-[r:FEEDS_SENSE]-(other:Neuron)
  RETURN 'FEEDS_SENSE' AS evidence, r, other ORDER BY abs(r.relevance) DESC, other.id LIMIT $top
  UNION ALL
  MATCH (:Sense {id: $sense})-[r:FLOWS_TO]->(other:Neuron)
  RETURN 'FLOWS_TO' AS evidence, r, other ORDER BY r.sensitivity DESC, other.id LIMIT $top
}
RETURN evidence, other.id AS neighbour, startNode(r) AS source, r AS edge, endNode(r) AS target
ORDER BY neighbour, evidence
LIMIT $limit
