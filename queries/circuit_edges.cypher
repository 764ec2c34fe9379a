// name: circuit_edges
// summary: The edges of a circuit, the most sensitive first.
// params:
//   circuit: circuit — circuit id
//   limit: integer = 500 — rows at most
// returns:
//   source: string — address
//   target: string — address
//   sensitivity: float — S_NS on the query
//   overlap: float — S_SF, share of the target's root list that is in the source's
//   raw: float — clipped change of the target's mean, in units of its activation
//   identity: boolean — the same channel carried on by an identity shortcut
// key: source, target
// cost: lookup
MATCH (a:Neuron)-[r:DRIVES {circuit: $circuit}]->(b:Neuron)
RETURN a.id AS source, b.id AS target, r.sensitivity AS sensitivity, r.overlap AS overlap, r.raw AS raw,
  r.identity AS identity
ORDER BY sensitivity DESC, source, target
LIMIT $limit
