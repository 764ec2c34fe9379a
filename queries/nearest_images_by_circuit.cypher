// name: nearest_images_by_circuit
// summary: The images whose circuits share most neurons with those of an image, by Jaccard.
// params:
//   image: image — id, file or name
//   model: model — whose circuits
//   limit: integer = 20 — rows at most
// returns:
//   image: string — image id
//   name: string — path relative to the data root
//   class: string — class it is filed under
//   shared: integer — neurons in circuits of both
//   neurons: integer — neurons in circuits of the other image
//   jaccard: float — shared / neurons of either, in [0, 1]
// key: image
// cost: report
MATCH (mine:Image {id: $image})<-[:EXPLAINS]-(:Circuit)-[:INCLUDES]->(n:Neuron)
WHERE n.model = $model
WITH mine, collect(DISTINCT n) AS neurons
UNWIND neurons AS n
CALL (n, mine) {
  MATCH (n)<-[:INCLUDES]-(:Circuit)-[:EXPLAINS]->(other:Image) WHERE other <> mine
  RETURN DISTINCT other
}
WITH other, size(neurons) AS own, count(n) AS shared
CALL (other) {
  MATCH (other)<-[:EXPLAINS]-(:Circuit)-[:INCLUDES]->(n:Neuron) WHERE n.model = $model
  RETURN count(DISTINCT n) AS theirs
}
WITH other, shared, theirs, toFloat(shared) / (own + theirs - shared) AS jaccard
ORDER BY jaccard DESC, other.id LIMIT $limit
RETURN other.id AS image, other.name AS name,
  head(COLLECT { MATCH (other)-[:LABELLED]->(c:Class) RETURN c.id ORDER BY c.id }) AS class, shared,
  theirs AS neurons, jaccard
ORDER BY jaccard DESC, image
LIMIT $limit
