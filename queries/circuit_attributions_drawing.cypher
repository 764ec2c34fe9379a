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
MATCH (c:Circuit {id: $circuit})-[:INCLUDES]->(a:Neuron)
MATCH edge = (a)-[r:ATTRIBUTES_TO]->(b:Neuron)
WHERE r.scope = c.target AND r.run = c.run AND r.hops = 1 AND EXISTS { (b)<-[:INCLUDES]-(c) }
RETURN a.id AS source, b.id AS target, edge
ORDER BY r.score DESC, source, target
LIMIT $limit
