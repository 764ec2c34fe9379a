// name: concepts_of_image
// summary: The concepts that an image's own decomposition holds, layer by layer.
// params:
//   image: image — id, file or name
//   layer: layer = null — only concepts of this layer
//   model: model = null — only this model's concepts
//   limit: integer = 50 — rows at most
// returns:
//   concept: string — address
//   layer: string — id of its layer
//   u: float — coefficient
//   x: float — column of the position's cell, in pixels of the transformed input
//   y: float — its row
//   rank: integer — rank within the image and layer; 1 is the largest
//   label: string — a name given by a person or a tool
//   ordinal: integer — place of its layer in execution order
// key: concept, x, y
// cost: lookup
MATCH (:Image {id: $image})-[r:EXPRESSES]->(c:Concept)
WHERE ($layer IS NULL OR c.layer = $layer) AND ($model IS NULL OR c.layer STARTS WITH $model + '/')
WITH c, r.x AS x, r.y AS y, head(collect(r)) AS r
MATCH (l:Layer {id: c.layer})
RETURN c.id AS concept, c.layer AS layer, r.u AS u, x, y, r.rank_out AS rank, c.label AS label, l.ordinal AS ordinal
ORDER BY ordinal DESC, rank, concept, x, y
LIMIT $limit
