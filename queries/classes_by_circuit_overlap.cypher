// name: classes_by_circuit_overlap
// summary: The classes whose CLA circuits share most neurons with a class's, by Jaccard.
// params:
//   class: class — its name or id
//   variant: string = "contrastive" — contrastive (what exceeds the other classes) or raw
//   model: model = null — only this model's circuits
//   limit: integer = 20 — rows at most
// returns:
//   class: string — the other class
//   circuit: string — its circuit
//   shared: integer — neurons in both
//   size: integer — neurons of the other circuit
//   jaccard: float — shared / neurons in either, in [0, 1]
// key: class, circuit
// cost: lookup
MATCH (:Class {id: $class})<-[:EXPLAINS]-(mine:Circuit {method: "cla", variant: $variant})-[:INCLUDES]->(n:Neuron)
WHERE $model IS NULL OR n.model = $model
MATCH (n)<-[:INCLUDES]-(other:Circuit {method: "cla", variant: $variant})
WHERE other.run = mine.run AND other <> mine
WITH mine, other, count(n) AS shared
MATCH (other)-[:EXPLAINS]->(k:Class)
// CLA's circuits include neurons alone: their sizes are numbers that the store keeps.
WITH *, COUNT { (other)-[:INCLUDES]->() } AS size, COUNT { (mine)-[:INCLUDES]->() } AS own
RETURN k.id AS class, other.id AS circuit, shared, size, toFloat(shared) / (own + size - shared) AS jaccard
ORDER BY jaccard DESC, class, circuit
LIMIT $limit
