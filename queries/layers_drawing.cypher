// name: layers_drawing
// summary: The layers of a model and what feeds what.
// params:
//   model: model = null — only this model's
//   limit: integer = 200 — rows at most
// returns:
//   layer: string — layer id
//   owner: node — the model
//   member: relationship — the layer is the model's
//   node: node — the layer
//   feeds: relationships — to the next layers
// key: layer
// cost: lookup
// draws: layers
MATCH (owner:Model)-[member:HAS_LAYER]->(node:Layer)
WHERE $model IS NULL OR owner.id = $model
RETURN node.id AS layer, owner, member, node, COLLECT { MATCH (node)-[f:FEEDS]->(:Layer) RETURN f } AS feeds
ORDER BY layer
LIMIT $limit
