// name: circuit_senses
// summary: The edges of an image's circuit with the sense in which the image activates each end.
// params:
//   circuit: circuit — circuit id
//   sense: sense = null — only edges that pass through this sense
//   limit: integer = 500 — rows at most
// returns:
//   source: string — address
//   source_sense: string — the sense the image is assigned to; null where the neuron has one meaning, or the image was no query of the PURE run
//   target: string — address
//   target_sense: string — likewise
//   sensitivity: float — S_NS on the query
// key: source, target
// cost: lookup
MATCH (a:Neuron)-[r:DRIVES {circuit: $circuit}]->(b:Neuron)
WITH a, r, b, head(COLLECT {
  MATCH (a)-[:HAS_SENSE]->(s:Sense)<-[:ASSIGNED_TO]-(:Image)<-[:EXPLAINS]-(:Circuit {id: $circuit})
  RETURN s.id ORDER BY s.id
}) AS source_sense, head(COLLECT {
  MATCH (b)-[:HAS_SENSE]->(s:Sense)<-[:ASSIGNED_TO]-(:Image)<-[:EXPLAINS]-(:Circuit {id: $circuit})
  RETURN s.id ORDER BY s.id
}) AS target_sense
WHERE $sense IS NULL OR $sense IN [source_sense, target_sense]
RETURN a.id AS source, source_sense, b.id AS target, target_sense, r.sensitivity AS sensitivity
ORDER BY sensitivity DESC, source, target
LIMIT $limit
