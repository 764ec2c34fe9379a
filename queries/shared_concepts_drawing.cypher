// name: shared_concepts_drawing
// summary: The concepts that classes share, with what each gives every class.
// params:
//   classes: classes — names or ids of two classes or more
//   k: integer = 5 — a concept counts for a class if it is among so many of its layer for that class
//   layer: layer = null — only concepts of this layer
//   model: model = null — only this model's concepts
//   limit: integer = 20 — rows at most
// returns:
//   concept: string — address
//   class: string — id of the class
//   from_node: node — the concept
//   edge: relationship — CONTRIBUTES_TO, over the images of the class
//   to_node: node — the class
// key: concept, class
// cost: lookup
// draws: shared_concepts
UNWIND $classes AS class
MATCH (:Class {id: class})<-[r:CONTRIBUTES_TO {scope: class}]-(c:Concept)
WHERE r.rank_in <= $k AND r.gig > 0 AND ($layer IS NULL OR c.layer = $layer)
  AND ($model IS NULL OR c.layer STARTS WITH $model + '/')
WITH c, collect({class: class, share: r.share, gig: r.gig}) AS sides
WHERE all(class IN $classes WHERE any(s IN sides WHERE s.class = class))
WITH c, reduce(least = sides[0].share, s IN sides | CASE WHEN s.share < least THEN s.share ELSE least END) AS support
ORDER BY support DESC, c.id LIMIT $limit
UNWIND $classes AS class
MATCH (c)-[r:CONTRIBUTES_TO {scope: class}]->(k:Class {id: class})
RETURN c.id AS concept, k.id AS class, c AS from_node, r AS edge, k AS to_node
ORDER BY edge.share DESC, concept, class
LIMIT $limit * size($classes)
