// name: neuron_circuits
// summary: The circuits a neuron is part of, where it is the root first.
// params:
//   neuron: neuron — its address
//   limit: integer = 20 — rows at most
// returns:
//   circuit: string — circuit id
//   target: string — what the circuit explains
//   role: string — root or member
//   method: string — how the circuit was found
//   size: integer — nodes of the circuit
//   edges: integer — edges of the circuit
// key: circuit
// cost: lookup
MATCH (:Neuron {id: $neuron})<-[i:INCLUDES]-(c:Circuit)
RETURN c.id AS circuit, c.target AS target, i.role AS role, c.method AS method, c.size AS size, c.edges AS edges
ORDER BY role DESC, size DESC, circuit
LIMIT $limit
