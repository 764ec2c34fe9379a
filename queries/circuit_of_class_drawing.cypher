// name: circuit_of_class_drawing
// summary: The CLA circuit of a class as a graph of its neurons.
// params:
//   class: class — its name or id
//   variant: string = "contrastive" — contrastive (what exceeds the other classes) or raw
//   model: model = null — only this model's circuit
//   limit: integer = 1000 — rows at most
// returns:
//   source: string — address
//   target: string — address
//   edge: path — source to target
// key: source, target
// cost: lookup
// draws: circuit_of_class
MATCH (:Class {id: $class})<-[:EXPLAINS]-(c:Circuit {method: "cla", variant: $variant})-[:INCLUDES]->(n:Neuron)
WHERE $model IS NULL OR n.model = $model
WITH c, collect(n) AS members
// By the index on scope: a popular neuron has edges in thousands of scopes.
MATCH edge = (a:Neuron)-[r:ATTRIBUTES_TO {scope: $class}]->(b:Neuron)
WHERE a IN members AND b IN members AND r.run = c.run AND r.hops = 1
RETURN a.id AS source, b.id AS target, edge
ORDER BY r.score DESC, source, target
LIMIT $limit
