// name: shared_concept_paths_drawing
// summary: The concepts that classes share, with what they are built from and go to.
// params:
//   classes: classes — names or ids of two classes or more
//   k: integer = 5 — a concept counts for a class if it is among so many of its layer for that class
//   layer: layer = null — only concepts of this layer
//   model: model = null — only this model's concepts
//   each: integer = 3 — neighbours of each concept and side
//   hops: integer = 1 — distance in layers at most
//   limit: integer = 60 — rows at most
// returns:
//   concept: string — address of the shared concept
//   side: string — `goes to` or `built from`
//   other: string — address of the neighbour
//   shared: node — the shared concept
//   edges: relationships — CONTRIBUTES_TO, one per class
//   neighbour: node — the neighbour
//   share: float — mean over the classes of what the later one gets, of its total
// key: concept, side, other
// cost: report
// draws: shared_concept_paths
UNWIND $classes AS class
MATCH (:Class {id: class})<-[r:CONTRIBUTES_TO {scope: class}]-(c:Concept)
WHERE r.rank_in <= $k AND r.gig > 0 AND ($layer IS NULL OR c.layer = $layer)
  AND ($model IS NULL OR c.layer STARTS WITH $model + '/')
WITH c, collect({class: class, share: r.share, gig: r.gig}) AS sides
WHERE all(class IN $classes WHERE any(s IN sides WHERE s.class = class))
CALL (c) {
  MATCH (c)-[r:CONTRIBUTES_TO]->(other:Concept) WHERE r.scope IN $classes AND r.hops <= $hops
  WITH other, collect(r) AS edges, sum(r.share) / size($classes) AS share
  RETURN 'goes to' AS side, other, edges, share ORDER BY abs(share) DESC, other.id LIMIT $each
  UNION
  MATCH (c)<-[r:CONTRIBUTES_TO]-(other:Concept) WHERE r.scope IN $classes AND r.hops <= $hops
  WITH other, collect(r) AS edges, sum(r.share) / size($classes) AS share
  RETURN 'built from' AS side, other, edges, share ORDER BY abs(share) DESC, other.id LIMIT $each
}
RETURN c.id AS concept, side, other.id AS other, c AS shared, edges, other AS neighbour, share
ORDER BY concept, side, abs(share) DESC, concept, side, other
LIMIT $limit
