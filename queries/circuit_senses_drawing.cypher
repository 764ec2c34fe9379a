// name: circuit_senses_drawing
// summary: An image's circuit as a graph of its neurons, with the senses in which the image activates them.
// params:
//   circuit: circuit — circuit id
//   sense: sense = null — only edges that pass through this sense
//   limit: integer = 500 — rows at most
// returns:
//   source: string — address
//   target: string — address
//   edge: path — source to target
//   senses: nodes — the senses of both ends that the image is assigned to
//   facets: relationships — from the ends to these senses
// key: source, target
// cost: lookup
// draws: circuit_senses
MATCH edge = (a:Neuron)-[r:DRIVES {circuit: $circuit}]->(b:Neuron)
WITH a, b, edge, r.sensitivity AS sensitivity, COLLECT {
  UNWIND [a, b] AS n
  MATCH (n)-[has:HAS_SENSE]->(s:Sense)<-[:ASSIGNED_TO]-(:Image)<-[:EXPLAINS]-(:Circuit {id: $circuit})
  RETURN has ORDER BY s.id
} AS facets
WITH a, b, edge, sensitivity, facets, [has IN facets | endNode(has)] AS senses
WHERE $sense IS NULL OR any(one IN senses WHERE one.id = $sense)
RETURN a.id AS source, b.id AS target, edge, senses, facets
ORDER BY sensitivity DESC, source, target
LIMIT $limit
