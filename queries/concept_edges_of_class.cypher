// name: concept_edges_of_class
// summary: What the concepts that carry a class give each other over its images, the strongest edges first.
// params:
//   class: class — its name or id
//   k: integer = 5 — concepts of each layer, the strongest for the class
//   hops: integer = 1 — distance in layers at most
//   model: model = null — only this model's concepts
//   limit: integer = 50 — rows at most
// returns:
//   source: string — address
//   target: string — address
//   gig: float — signed contribution of the source to the target, averaged over the images of the class
//   share: float — gig / Σ|gig| over all concepts of the source's layer
//   hops: integer — distance in layers
//   n: integer — images averaged over
//   std: float — population standard deviation of gig over these images
// key: source, target
// cost: lookup
MATCH (:Class {id: $class})<-[r:CONTRIBUTES_TO {scope: $class}]-(c:Concept)
WHERE r.rank_in <= $k AND ($model IS NULL OR c.layer STARTS WITH $model + '/')
WITH collect(c) AS kept
// By the index on scope: a popular concept has edges in thousands of scopes.
MATCH (c:Concept)-[r:CONTRIBUTES_TO {scope: $class}]->(t:Concept)
WHERE c IN kept AND t IN kept AND r.hops <= $hops
RETURN c.id AS source, t.id AS target, r.gig AS gig, r.share AS share, r.hops AS hops, r.n AS n, r.std AS std
ORDER BY abs(share) DESC, source, target
LIMIT $limit
