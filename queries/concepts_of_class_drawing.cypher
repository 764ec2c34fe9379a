// name: concepts_of_class_drawing
// summary: The causal concept graph of a class: its strongest concepts of each layer, and what they give each other.
// params:
//   class: class — its name or id
//   k: integer = 5 — concepts of each layer, the strongest for the class
//   model: model = null — only this model's concepts
//   limit: integer = 200 — rows at most
// returns:
//   source: string — address
//   target: string — address, or id of the class
//   from_node: node — a concept of the class
//   edge: relationship — CONTRIBUTES_TO, over the images of the class
//   to_node: node — another one in a later layer, or the class
// key: source, target
// cost: lookup
// draws: concepts_of_class
MATCH (k:Class {id: $class})<-[r:CONTRIBUTES_TO {scope: $class}]-(c:Concept)
WHERE r.rank_in <= $k AND ($model IS NULL OR c.layer STARTS WITH $model + '/')
WITH k, collect(c) AS kept
// By the index on scope: a popular concept has edges in thousands of scopes.
MATCH (c:Concept)-[r:CONTRIBUTES_TO {scope: $class}]->(t)
WHERE c IN kept AND (t = k OR t IN kept)
RETURN c.id AS source, t.id AS target, c AS from_node, r AS edge, t AS to_node
ORDER BY abs(edge.share) DESC, source, target
LIMIT $limit
