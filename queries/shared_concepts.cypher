// name: shared_concepts
// summary: The concepts that carry every one of some classes, by their joint support.
// params:
//   classes: classes — names or ids of two classes or more
//   k: integer = 5 — a concept counts for a class if it is among so many of its layer for that class
//   layer: layer = null — only concepts of this layer
//   model: model = null — only this model's concepts
//   limit: integer = 20 — rows at most
// returns:
//   concept: string — address
//   layer: string — id of its layer
//   support: float — the smallest of its shares in the classes' outputs
//   shares: floats — its share in each class, in the order asked for
//   gigs: floats — its contribution to each class, in the order asked for
//   label: string — a name given by a person or a tool
//   size: integer — feature vectors in its cluster
// key: concept
// cost: lookup
UNWIND $classes AS class
MATCH (:Class {id: class})<-[r:CONTRIBUTES_TO {scope: class}]-(c:Concept)
WHERE r.rank_in <= $k AND r.gig > 0 AND ($layer IS NULL OR c.layer = $layer)
  AND ($model IS NULL OR c.layer STARTS WITH $model + '/')
WITH c, collect({class: class, share: r.share, gig: r.gig}) AS sides
WHERE all(class IN $classes WHERE any(s IN sides WHERE s.class = class))
WITH c, [class IN $classes | head([s IN sides WHERE s.class = class])] AS sides
RETURN c.id AS concept, c.layer AS layer,
  reduce(least = sides[0].share, s IN sides | CASE WHEN s.share < least THEN s.share ELSE least END) AS support,
  [s IN sides | s.share] AS shares, [s IN sides | s.gig] AS gigs, c.label AS label, c.size AS size
ORDER BY support DESC, concept
LIMIT $limit
