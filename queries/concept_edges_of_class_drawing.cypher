// name: concept_edges_of_class_drawing
// summary: What the concepts that carry a class give each other over its images, drawn.
// params:
//   class: class — its name or id
//   k: integer = 5 — concepts of each layer, the strongest for the class
//   hops: integer = 1 — distance in layers at most
//   model: model = null — only this model's concepts
//   limit: integer = 50 — rows at most
// returns:
//   source: string — address
//   target: string — address
//   from_node: node — a concept of the class
//   edge: relationship — CONTRIBUTES_TO, over the images of the class
//   to_node: node — another one in a later layer
// key: source, target
// cost: lookup
// draws: concept_edges_of_class
MATCH (:Class {id: $class})<-[r:CONTRIBUTES_TO {scope: $class}]-(c:Concept)
WHERE r.rank_in <= $k AND ($model IS NULL OR c.layer STARTS WITH $model + '/')
WITH collect(c) AS kept
// By the index on scope: a popular concept has edges in thousands of scopes.
MATCH (c:Concept)-[r:CONTRIBUTES_TO {scope: $class}]->(t:Concept)
WHERE c IN kept AND t IN kept AND r.hops <= $hops
RETURN c.id AS source, t.id AS target, c AS from_node, r AS edge, t AS to_node
ORDER BY abs(edge.share) DESC, source, target
LIMIT $limit
