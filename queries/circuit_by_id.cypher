// name: circuit_by_id
// summary: One circuit: what it explains, where it starts and how large it is.
// params:
//   circuit: circuit — circuit id
//   limit: integer = 1 — rows at most
// returns:
//   circuit: string — circuit id
//   target: string — what it explains
//   root: string — neuron it starts at
//   method: string — how it was found
//   size: integer — its nodes
//   edges: integer — its edges
//   layers: integer — layers it spans
//   diversity: float — 1 less its mean Jaccard with the query's other circuits
//   drop: float — target logit lost when its neurons are set to zero
//   merged_into: string — the circuit that holds all of it, null if it stands alone
//   run: string — the run that wrote it
//   parameters: json — how it was found, in full
// key: circuit
// cost: lookup
MATCH (c:Circuit {id: $circuit})
OPTIONAL MATCH (c)-[:MERGED_INTO]->(held:Circuit)
RETURN c.id AS circuit, c.target AS target, c.root AS root, c.method AS method, c.size AS size, c.edges AS edges,
  c.layers AS layers, c.diversity AS diversity, c.drop AS drop, held.id AS merged_into, c.run AS run,
  c.parameters AS parameters
ORDER BY circuit
LIMIT $limit
