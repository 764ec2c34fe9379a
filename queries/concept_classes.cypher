// name: concept_classes
// summary: The classes a concept contributes to, each over its own images.
// params:
//   concept: concept — its address
//   limit: integer = 20 — rows at most
// returns:
//   class: string — id of the class
//   gig: float — signed contribution to its output, averaged over its images
//   share: float — gig / Σ|gig| over all concepts of the layer
//   rank: integer — rank among the concepts of the layer; 1 is the strongest
//   n: integer — images averaged over
// key: class
// cost: lookup
MATCH (:Concept {id: $concept})-[r:CONTRIBUTES_TO]->(k:Class)
WHERE r.scope = k.id
RETURN k.id AS class, r.gig AS gig, r.share AS share, r.rank_in AS rank, r.n AS n
ORDER BY share DESC, class
LIMIT $limit
