// name: neurons_shared_by_classes
// summary: The neurons that circuits of two classes share, by the smaller of their two shares of images.
// params:
//   class_a: class — name or id of the first class
//   class_b: class — name or id of the second class
//   layer: layer = null — only neurons of this layer
//   limit: integer = 20 — rows at most
// returns:
//   neuron: string — address
//   layer: string — name of its layer
//   images_a: integer — images of the first class with a circuit that has the neuron
//   images_b: integer — images of the second class with a circuit that has it
//   share_a: float — images_a / explained images of the first class
//   share_b: float — images_b / explained images of the second class
//   support: float — the smaller share
// key: neuron
// cost: report
UNWIND [$class_a, $class_b] AS class
MATCH (:Class {id: class})<-[:LABELLED]-(image:Image)
WHERE EXISTS { (image)<-[:EXPLAINS]-(:Circuit) }
WITH class, collect(image) AS images
UNWIND images AS image
CALL (image) {
  MATCH (image)<-[:EXPLAINS]-(:Circuit)-[:INCLUDES]->(n:Neuron)
  WHERE $layer IS NULL OR EXISTS { (n)<-[:HAS_NEURON]-(:Layer {id: $layer}) }
  RETURN DISTINCT n
}
WITH n, class, size(images) AS explained, count(image) AS having
WITH n, collect({class: class, images: having, share: toFloat(having) / explained}) AS sides
WITH n, head([s IN sides WHERE s.class = $class_a]) AS a, head([s IN sides WHERE s.class = $class_b]) AS b
WHERE a IS NOT NULL AND b IS NOT NULL
RETURN n.id AS neuron, n.layer AS layer, a.images AS images_a, b.images AS images_b, a.share AS share_a,
  b.share AS share_b, CASE WHEN a.share < b.share THEN a.share ELSE b.share END AS support
ORDER BY support DESC, neuron
LIMIT $limit
