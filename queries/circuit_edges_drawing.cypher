// name: circuit_edges_drawing
// summary: A circuit as a graph of its neurons.
// params:
//   circuit: circuit — circuit id
//   limit: integer = 500 — rows at most
// returns:
//   source: string — address
//   target: string — address
//   edge: path — source to target
// key: source, target
// cost: lookup
// draws: circuit_edges
MATCH edge = (a:Neuron)-[r:DRIVES {circuit: $circuit}]->(b:Neuron)
RETURN a.id AS source, b.id AS target, edge
ORDER BY r.sensitivity DESC, source, target
LIMIT $limit
