// name: circuits_sharing_neurons_drawing
// summary: A circuit and the circuits that share most neurons with it, joined at these neurons.
// params:
//   circuit: circuit — circuit id
//   limit: integer = 20 — rows at most
// returns:
//   circuit: string — the other circuit
//   mine: node — the circuit
//   here: relationships — its membership of the shared neurons
//   shared: nodes — the shared neurons
//   there: relationships — the other circuit's membership
//   other: node — the other circuit
// key: circuit
// cost: lookup
// draws: circuits_sharing_neurons
MATCH (mine:Circuit {id: $circuit})-[here:INCLUDES]->(n:Neuron)<-[there:INCLUDES]-(other:Circuit)
WITH mine, other, collect(here) AS here, collect(n) AS shared, collect(there) AS there
// A circuit that includes a neuron includes neurons alone: its size is a number that the store keeps.
WITH *, toFloat(size(shared))
  / (COUNT { (mine)-[:INCLUDES]->() } + COUNT { (other)-[:INCLUDES]->() } - size(shared)) AS jaccard
ORDER BY jaccard DESC, other.id LIMIT $limit
RETURN other.id AS circuit, mine, here, shared, there, other
ORDER BY jaccard DESC, circuit
LIMIT $limit
