// name: weakest_link
// summary: Between which two layers a CLA circuit holds together least, and the neuron it explains least there.
// params:
//   circuit: circuit — circuit id
//   limit: integer = 50 — rows at most
// returns:
//   from_layer: string — name of the layer of the sources
//   to_layer: string — name of the layer of the targets
//   share: float — part of the targets' attribution that comes from the circuit, mean over them
//   score: float — sum of the circuit's scores between the two layers
//   edges: integer — stored edges between them
//   weakest: string — the target with the smallest part
// key: from_layer, to_layer
// cost: lookup
MATCH (c:Circuit {id: $circuit})-[:INCLUDES]->(n:Neuron)
WITH c, collect(n) AS members, c.target AS scope
// By the index on scope: a popular neuron has edges in thousands of scopes.
MATCH (a:Neuron)-[r:ATTRIBUTES_TO {scope: scope}]->(b:Neuron)
WHERE a IN members AND b IN members AND r.run = c.run AND r.hops = 1
WITH a.layer AS from_layer, b, sum(r.share) AS share, sum(r.score) AS score, count(r) AS edges
ORDER BY share, b.id
WITH from_layer, b.layer AS to_layer, avg(share) AS share, sum(score) AS score, sum(edges) AS edges,
  collect(b.id)[0] AS weakest
RETURN from_layer, to_layer, share, score, edges, weakest
ORDER BY share, from_layer, to_layer
LIMIT $limit
