// name: concepts_of_class
// summary: The concepts that carry a class in each layer, by their contribution to its output over its images.
// params:
//   class: class — its name or id
//   k: integer = 5 — concepts of each layer, the strongest for the class
//   model: model = null — only this model's concepts
//   limit: integer = 200 — rows at most
// returns:
//   concept: string — address
//   layer: string — id of its layer
//   gig: float — signed contribution to the class, averaged over its images
//   share: float — gig / Σ|gig| over all concepts of the layer
//   rank: integer — rank among the concepts of the layer; 1 is the strongest
//   n: integer — images averaged over
//   std: float — population standard deviation of gig over these images
//   label: string — a name given by a person or a tool
//   ordinal: integer — place of its layer in execution order
// key: concept
// cost: lookup
MATCH (:Class {id: $class})<-[r:CONTRIBUTES_TO {scope: $class}]-(c:Concept)
WHERE r.rank_in <= $k AND ($model IS NULL OR c.layer STARTS WITH $model + '/')
MATCH (l:Layer {id: c.layer})
RETURN c.id AS concept, c.layer AS layer, r.gig AS gig, r.share AS share, r.rank_in AS rank, r.n AS n, r.std AS std,
  c.label AS label, l.ordinal AS ordinal
ORDER BY ordinal DESC, rank, concept
LIMIT $limit
