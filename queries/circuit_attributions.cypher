// name: circuit_attributions
// summary: The edges of one CLA circuit, the largest scores first.
// params:
//   circuit: circuit — circuit id
//   limit: integer = 1000 — rows at most
// returns:
//   source: string — address
//   target: string — address
//   score: float — activation × gradient of the target's norm, mean over the circuit's images
//   contrast: float — score less its mean over the other scopes, clipped at zero
//   share: float — score / Σ score over all sources of the target
// key: source, target
// cost: lookup
MATCH (c:Circuit {id: $circuit})-[:INCLUDES]->(n:Neuron)
WITH c, collect(n) AS members, c.target AS scope
// By the index on scope: a popular neuron has edges in thousands of scopes.
MATCH (a:Neuron)-[r:ATTRIBUTES_TO {scope: scope}]->(b:Neuron)
WHERE a IN members AND b IN members AND r.run = c.run AND r.hops = 1
RETURN a.id AS source, b.id AS target, r.score AS score, r.contrast AS contrast, r.share AS share
ORDER BY score DESC, source, target
LIMIT $limit
