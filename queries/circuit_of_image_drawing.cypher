// name: circuit_of_image_drawing
// summary: The exact circuits of an image as one graph of neurons.
// params:
//   image: image — id, file or name
//   model: model = null — only this model's circuits
//   limit: integer = 1000 — rows at most
// returns:
//   source: string — address
//   target: string — address
//   from_node: node — where the edge starts
//   edge: relationship — DRIVES, of the first circuit that has it
//   to_node: node — where it ends
// key: source, target
// cost: lookup
// draws: circuit_of_image
MATCH (:Image {id: $image})<-[:EXPLAINS]-(c:Circuit)
MATCH (a:Neuron)-[r:DRIVES {circuit: c.id}]->(b:Neuron)
WHERE $model IS NULL OR a.model = $model
WITH a, b, r ORDER BY r.circuit
WITH a, b, collect(r)[0] AS edge
RETURN a.id AS source, b.id AS target, a AS from_node, edge, b AS to_node
ORDER BY edge.sensitivity DESC, source, target
LIMIT $limit
