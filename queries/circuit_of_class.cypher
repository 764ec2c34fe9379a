// name: circuit_of_class
// summary: The circuit that cross-layer attribution (CLA) found for a class: the scores between its neurons.
// params:
//   class: class — its name or id
//   variant: string = "contrastive" — contrastive (what exceeds the other classes) or raw
//   model: model = null — only this model's circuit
//   limit: integer = 1000 — rows at most
// returns:
//   source: string — address
//   target: string — address
//   score: float — activation × gradient of the target's norm, mean over the class's images
//   contrast: float — score less its mean over the other scopes, clipped at zero
//   share: float — score / Σ score over all sources of the target
//   circuit: string — circuit id
// key: source, target
// cost: lookup
MATCH (:Class {id: $class})<-[:EXPLAINS]-(c:Circuit {method: "cla", variant: $variant})-[:INCLUDES]->(n:Neuron)
WHERE $model IS NULL OR n.model = $model
WITH c, collect(n) AS members
// By the index on scope: a popular neuron has edges in thousands of scopes.
MATCH (a:Neuron)-[r:ATTRIBUTES_TO {scope: $class}]->(b:Neuron)
WHERE a IN members AND b IN members AND r.run = c.run AND r.hops = 1
RETURN a.id AS source, b.id AS target, r.score AS score, r.contrast AS contrast, r.share AS share, c.id AS circuit
ORDER BY score DESC, source, target
LIMIT $limit
