// name: circuit_attributions_drawing
// summary: A CLA circuit as a graph of its neurons.
// params:
//   circuit: circuit — circuit id
//   limit: integer = 1000 — rows at most
// returns:
//   source: string — address
//   target: string — address
//   edge: path — source to target
// key: source, target
// cost: lookup
// draws: circuit_attributions
MATCH (c:Circuit {id: $circuit})-[:INCLUDES]->(n:Neuron)
WITH c, collect(n) AS members, c.target AS scope
// By the index on scope: a popular neuron has edges in thousands of scopes.
MATCH edge = (a:Neuron)-[r:ATTRIBUTES_TO {scope: scope}]->(b:Neuron)
WHERE a IN members AND b IN members AND r.run = c.run AND r.hops = 1
RETURN a.id AS source, b.id AS target, edge
ORDER BY r.score DESC, source, target
LIMIT $limit
