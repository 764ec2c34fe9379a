// name: layers
// summary: The layers of a model in execution order.
// params:
//   model: model = null — only this model's
//   limit: integer = 200 — rows at most
// returns:
//   layer: string — layer id
//   model: string — address root
//   name: string — traced module name
//   ordinal: integer — place in execution order, from 0
//   kind: string — conv or tokens
//   channels: integer — neurons of the layer
//   positions: integer — positions of each neuron's map
// key: layer
// cost: lookup
MATCH (m:Model)-[:HAS_LAYER]->(l:Layer)
WHERE $model IS NULL OR m.id = $model
RETURN l.id AS layer, m.id AS model, l.name AS name, l.ordinal AS ordinal, l.kind AS kind,
  l.channels AS channels, l.positions AS positions
ORDER BY model, ordinal, layer
LIMIT $limit
