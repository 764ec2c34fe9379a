// name: dead_neurons
// summary: The neurons whose ranking activation is the same on every image.
// params:
//   model: model — whose neurons
//   layer: layer = null — only neurons of this layer
//   limit: integer = 100 — rows at most
// returns:
//   neuron: string — address
//   layer: string — name of its layer
//   channel: integer — index in its layer
//   mean: float — that same value
// key: neuron
// cost: report
MATCH (:Model {id: $model})-[:HAS_LAYER]->(l:Layer)-[:HAS_NEURON]->(n:Neuron)
WHERE n.dead AND ($layer IS NULL OR l.id = $layer)
RETURN n.id AS neuron, l.name AS layer, n.channel AS channel, n.mean AS mean
ORDER BY l.ordinal, channel, neuron
LIMIT $limit
