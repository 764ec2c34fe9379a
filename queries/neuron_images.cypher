// name: neuron_images
// summary: The images a neuron answers most, best first.
// params:
//   neuron: neuron — its address
//   limit: integer = 20 — rows at most
// returns:
//   rank: integer — place in the root list
//   image: string — image id
//   name: string — path relative to the data root
//   class: string — class the image is filed under
//   value: float — ranking activation
//   x: float — column of its largest position, in pixels of the transformed input
//   y: float — row of it
// key: image
// cost: lookup
MATCH (:Neuron {id: $neuron})-[r:ACTIVATED_BY]->(image:Image)
WITH r, image ORDER BY r.rank, image.id LIMIT $limit
OPTIONAL MATCH (image)-[:LABELLED]->(c:Class)
RETURN r.rank AS rank, image.id AS image, image.name AS name, c.id AS class, r.value AS value, r.x AS x, r.y AS y
ORDER BY rank, image
LIMIT $limit
