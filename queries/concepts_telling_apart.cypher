// name: concepts_telling_apart
// summary: The concepts whose share differs most between two classes.
// params:
//   class_a: class — name or id of the first class
//   class_b: class — name or id of the second class
//   layer: layer = null — only concepts of this layer
//   model: model = null — only this model's concepts
//   cover: float = 0.9 — a share that is not stored counts as zero where the stored ones of its layer make up this part
//   limit: integer = 20 — rows at most
// returns:
//   concept: string — address
//   layer: string — id of its layer
//   difference: float — share_a - share_b, where what is not stored counts as zero
//   share_a: float — its share in the first class, null if not stored
//   share_b: float — its share in the second class, null if not stored
//   known: boolean — both are stored, or too little is not stored to matter
// key: concept
// cost: lookup
UNWIND [$class_a, $class_b] AS class
MATCH (:Class {id: class})<-[r:CONTRIBUTES_TO {scope: class}]-(c:Concept)
WHERE ($layer IS NULL OR c.layer = $layer) AND ($model IS NULL OR c.layer STARTS WITH $model + '/')
WITH class, c.layer AS layer, sum(abs(r.share)) AS covered, collect({concept: c.id, share: r.share}) AS sources
WITH layer, collect({class: class, covered: covered, sources: sources}) AS both
UNWIND both AS side
UNWIND side.sources AS s
WITH layer, both, s.concept AS concept, collect({class: side.class, share: s.share}) AS sides
WITH layer, concept, head([s IN sides WHERE s.class = $class_a | s.share]) AS share_a,
  head([s IN sides WHERE s.class = $class_b | s.share]) AS share_b, size(sides) = 2
  OR any(b IN both WHERE b.class <> sides[0].class AND b.covered >= $cover) AS known
RETURN concept, layer, coalesce(share_a, 0.0) - coalesce(share_b, 0.0) AS difference, share_a, share_b, known
ORDER BY abs(difference) DESC, concept
LIMIT $limit
