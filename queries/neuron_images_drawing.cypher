// name: neuron_images_drawing
// summary: A neuron, the images it answers most and their classes.
// params:
//   neuron: neuron — its address
//   limit: integer = 20 — rows at most
// returns:
//   image: string — image id
//   list: path — neuron to image
//   labels: relationships — image to class
//   classes: nodes — its class
// key: image
// cost: lookup
// draws: neuron_images
MATCH list = (:Neuron {id: $neuron})-[r:ACTIVATED_BY]->(node:Image)
WITH list, r, node ORDER BY r.rank, node.id LIMIT $limit
OPTIONAL MATCH (node)-[label:LABELLED]->(c:Class)
RETURN node.id AS image, list, collect(label) AS labels, collect(c) AS classes
ORDER BY image
LIMIT $limit
