// name: concept_edges_of_image
// summary: What the concepts of one image give each other and the classes on that image.
// params:
//   image: image — id, file or name
//   hops: integer = 1 — distance in layers at most, between concepts
//   model: model = null — only this model's concepts
//   limit: integer = 100 — rows at most
// returns:
//   source: string — address
//   target: string — address, or id of a class
//   gig: float — signed contribution on the image
//   share: float — gig / Σ|gig| over all concepts of the source's layer
//   hops: integer — distance in layers
// key: source, target
// cost: lookup
MATCH (:Image {id: $image})-[:EXPRESSES]->(c:Concept)
WHERE $model IS NULL OR c.layer STARTS WITH $model + '/'
WITH DISTINCT c
MATCH (c)-[r:CONTRIBUTES_TO {scope: $image}]->(t:Concept|Class)
WHERE t:Class OR r.hops <= $hops
WITH c, t, head(collect(r)) AS r
RETURN c.id AS source, t.id AS target, r.gig AS gig, r.share AS share, r.hops AS hops
ORDER BY abs(share) DESC, source, target
LIMIT $limit
