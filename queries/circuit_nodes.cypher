// name: circuit_nodes
// summary: The members of a circuit in execution order.
// params:
//   circuit: circuit — circuit id
//   limit: integer = 500 — rows at most
// returns:
//   node: string — address
//   layer: string — name of its layer
//   role: string — root or member
//   score: float — signed score
//   rank: integer — rank within the circuit
// key: node
// cost: lookup
MATCH (:Circuit {id: $circuit})-[i:INCLUDES]->(n:Neuron)<-[:HAS_NEURON]-(l:Layer)
RETURN n.id AS node, l.name AS layer, i.role AS role, i.score AS score, i.rank AS rank
ORDER BY l.ordinal, n.channel, node
LIMIT $limit
