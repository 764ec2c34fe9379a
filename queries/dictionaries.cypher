// name: dictionaries
// summary: The dictionaries of concepts in the atlas, and how well each describes vectors it was not made from.
// params:
//   layer: layer = null — only dictionaries of this layer
//   model: model = null — only this model's
//   limit: integer = 100 — rows at most
// returns:
//   dictionary: string — its id
//   layer: string — id of its layer
//   method: string — how it was made
//   K: integer — number of concepts
//   N: integer — feature vectors it was made from
//   λ: float — weight of the L1 penalty
//   rel_l2: float — relative L2 error on held-out vectors
//   l0: float — share of zero coefficients
//   space: string — `pre` or `post` activation
//   seed: integer — seed of its making
//   ordinal: integer — place of its layer in execution order
// key: dictionary
// cost: lookup
MATCH (l:Layer)-[:HAS_DICTIONARY]->(d:Dictionary)
WHERE ($layer IS NULL OR l.id = $layer) AND ($model IS NULL OR l.model = $model)
RETURN d.id AS dictionary, l.id AS layer, d.method AS method, d.K AS K, d.N AS N, d.λ AS λ, d.rel_l2 AS rel_l2,
  d.l0 AS l0, d.space AS space, d.seed AS seed, l.ordinal AS ordinal
ORDER BY ordinal, dictionary
LIMIT $limit
