// name: models
// summary: The models of the atlas.
// params:
//   limit: integer = 50 — rows at most
// returns:
//   model: string — address root
//   name: string — name of the architecture or factory
//   weights: string — name of the weights, or of the checkpoint file
//   layers: integer — layers looked at
//   neurons: integer — their neurons
//   accuracy: float — top-1 accuracy on the ingested images, in [0, 1]
// key: model
// cost: lookup
MATCH (m:Model)
CALL (m) {
  MATCH (m)-[:HAS_LAYER]->(layer:Layer)
  RETURN count(layer) AS layers, sum(layer.channels) AS neurons
}
RETURN m.id AS model, m.name AS name, m.weights AS weights, layers, neurons, m.accuracy AS accuracy
ORDER BY model
LIMIT $limit
