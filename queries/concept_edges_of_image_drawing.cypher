// name: concept_edges_of_image_drawing
// summary: One image explained in concepts of the whole data set.
// params:
//   image: image — id, file or name
//   hops: integer = 1 — distance in layers at most, between concepts
//   model: model = null — only this model's concepts
//   limit: integer = 100 — rows at most
// returns:
//   source: string — address
//   target: string — address, or id of a class
//   from_node: node — a concept of the image
//   edge: relationship — CONTRIBUTES_TO, on the image
//   to_node: node — another one in a later layer, or a class
// key: source, target
// cost: lookup
// draws: concept_edges_of_image
MATCH (:Image {id: $image})-[:EXPRESSES]->(c:Concept)
WHERE $model IS NULL OR c.layer STARTS WITH $model + '/'
WITH DISTINCT c
MATCH (c)-[r:CONTRIBUTES_TO {scope: $image}]->(t:Concept|Class)
WHERE t:Class OR r.hops <= $hops
WITH c, t, head(collect(r)) AS r
RETURN c.id AS source, t.id AS target, c AS from_node, r AS edge, t AS to_node
ORDER BY abs(edge.share) DESC, source, target
LIMIT $limit
