// name: nearest_concepts
// summary: The concepts whose direction is nearest to another concept's, or to any vector of a layer.
// params:
//   concept: concept = null — address of the concept to compare with
//   vector: floats = [] — or a direction in a layer's feature space, one value per channel
//   layer: layer = null — only concepts of this layer
//   model: model = null — only this model's concepts
//   fetch: integer = 500 — neighbours taken from the index before the filters; more is slower and surer
//   limit: integer = 10 — rows at most
// returns:
//   concept: string — address
//   layer: string — id of its layer
//   cosine: float — of the two directions, in [-1, 1]
//   size: integer — feature vectors in its cluster
//   label: string — a name given by a person or a tool
// key: concept
// cost: lookup
OPTIONAL MATCH (like:Concept {id: $concept})
WITH like, coalesce(like.vector, $vector) AS v
WHERE size(v) > 0
CALL db.index.vector.queryNodes('concept_vector', $fetch, v) YIELD node AS c
WHERE (like IS NULL OR c <> like) AND ($layer IS NULL OR c.layer = $layer)
  AND ($model IS NULL OR c.layer STARTS WITH $model + '/')
RETURN c.id AS concept, c.layer AS layer, round(2 * vector.similarity.cosine(c.vector, v) - 1, 6) AS cosine,
  c.size AS size, c.label AS label
ORDER BY cosine DESC, concept
LIMIT $limit
