// name: shared_matrix
// summary: How many concepts each two classes share, and how strongly.
// params:
//   k: integer = 5 — a concept counts for a class if it is among so many of its layer for that class
//   layer: layer = null — only concepts of this layer
//   model: model = null — only this model's concepts
//   limit: integer = 1000 — rows at most
// returns:
//   class_a: string — id of the first class
//   class_b: string — id of the second class
//   concepts: integer — concepts they share
//   strength: float — sum over them of the smaller of the two shares
//   strongest: string — address of the concept with the largest of these
// key: class_a, class_b
// cost: report
MATCH (a:Class)<-[r:CONTRIBUTES_TO]-(c:Concept)
WHERE r.scope = a.id AND r.rank_in <= $k AND r.gig > 0 AND ($layer IS NULL OR c.layer = $layer)
  AND ($model IS NULL OR c.layer STARTS WITH $model + '/')
WITH c, a.id AS class, r.share AS share ORDER BY class
WITH c, collect({class: class, share: share}) AS sides
UNWIND range(0, size(sides) - 2) AS i
UNWIND range(i + 1, size(sides) - 1) AS j
WITH c.id AS concept, sides[i] AS a, sides[j] AS b
WITH a.class AS class_a, b.class AS class_b, concept, CASE WHEN a.share < b.share THEN a.share ELSE b.share END AS least
ORDER BY least DESC, concept
RETURN class_a, class_b, count(*) AS concepts, sum(least) AS strength, collect(concept)[0] AS strongest
ORDER BY concepts DESC, strength DESC, class_a, class_b
LIMIT $limit
