// name: circuits_sharing_neurons
// summary: The circuits that share most neurons with a circuit, by Jaccard.
// params:
//   circuit: circuit — circuit id
//   limit: integer = 20 — rows at most
// returns:
//   circuit: string — the other circuit
//   target: string — what it explains
//   shared: integer — neurons in both
//   size: integer — neurons of the other circuit
//   jaccard: float — shared / neurons in either, in [0, 1]
// key: circuit
// cost: lookup
MATCH (mine:Circuit {id: $circuit})
// A circuit that includes a neuron includes neurons alone: its size is a number that the store keeps.
WITH mine, COUNT { (mine)-[:INCLUDES]->() } AS own
MATCH (mine)-[:INCLUDES]->(n:Neuron)<-[:INCLUDES]-(other:Circuit)
WITH own, other, count(n) AS shared
WITH own, other, shared, COUNT { (other)-[:INCLUDES]->() } AS size
WITH other, shared, size, toFloat(shared) / (own + size - shared) AS jaccard
ORDER BY jaccard DESC, other.id LIMIT $limit
RETURN other.id AS circuit, other.target AS target, shared, size, jaccard
ORDER BY jaccard DESC, circuit
LIMIT $limit
