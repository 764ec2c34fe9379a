// name: concept_by_address
// summary: One concept: its dictionary, its cluster and what it is part of.
// params:
//   concept: concept — its address
//   limit: integer = 1 — rows at most
// returns:
//   concept: string — address
//   layer: string — id of its layer
//   dictionary: string — id of its dictionary
//   method: string — how the dictionary was made
//   ordinal: integer — index in its dictionary
//   size: integer — feature vectors in its cluster
//   norm: float — mean norm of these vectors
//   label: string — a name given by a person or a tool
//   classes: integer — classes for which its contribution is stored
//   images: integer — images whose decomposition holds it
// key: concept
// cost: lookup
MATCH (c:Concept {id: $concept})<-[:HAS_CONCEPT]-(d:Dictionary)
RETURN c.id AS concept, c.layer AS layer, d.id AS dictionary, d.method AS method, c.ordinal AS ordinal, c.size AS size,
  c.norm AS norm, c.label AS label,
  size(COLLECT { MATCH (c)-[:CONTRIBUTES_TO]->(k:Class) RETURN DISTINCT k.id }) AS classes,
  COUNT { (c)<-[:EXPRESSES]-() } AS images
ORDER BY concept
LIMIT $limit
