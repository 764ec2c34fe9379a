// name: hubs
// summary: The neurons that are part of the most circuits.
// params:
//   model: model — whose neurons
//   layer: layer = null — only neurons of this layer
//   limit: integer = 20 — rows at most
// returns:
//   neuron: string — address
//   layer: string — name of its layer
//   circuits: integer — circuits it is part of
//   classes: integer — classes whose images these explain
// key: neuron
// cost: report
MATCH (:Model {id: $model})-[:HAS_LAYER]->(l:Layer)-[:HAS_NEURON]->(n:Neuron)
WHERE $layer IS NULL OR l.id = $layer
WITH n, COUNT { (n)<-[:INCLUDES]-() } AS circuits
WHERE circuits > 0
WITH n, circuits ORDER BY circuits DESC, n.id LIMIT $limit
RETURN n.id AS neuron, n.layer AS layer, circuits, COUNT {
  MATCH (n)<-[:INCLUDES]-(:Circuit)-[:EXPLAINS]->(:Image)-[:LABELLED]->(c:Class) RETURN DISTINCT c
} AS classes
ORDER BY circuits DESC, neuron
LIMIT $limit
