// name: concepts_of_layer
// summary: The concepts of a layer, those of the largest clusters first.
// params:
//   layer: layer — its address
//   limit: integer = 50 — rows at most
// returns:
//   concept: string — address
//   dictionary: string — id of its dictionary
//   size: integer — feature vectors in its cluster
//   norm: float — mean norm of these vectors
//   class: string — id of the class it gives the largest share of
//   share: float — that share
//   label: string — a name given by a person or a tool
// key: concept
// cost: lookup
MATCH (c:Concept {layer: $layer})
WITH c ORDER BY coalesce(c.size, 0) DESC, c.id LIMIT $limit
OPTIONAL MATCH (c)-[r:CONTRIBUTES_TO]->(k:Class) WHERE r.scope = k.id
WITH c, r, k ORDER BY r.share DESC, k.id
WITH c, collect(k.id)[0] AS class, collect(r.share)[0] AS share
RETURN c.id AS concept, c.dictionary AS dictionary, c.size AS size, c.norm AS norm, class, share, c.label AS label
ORDER BY coalesce(size, 0) DESC, concept
LIMIT $limit
