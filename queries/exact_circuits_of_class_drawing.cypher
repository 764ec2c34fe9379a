// name: exact_circuits_of_class_drawing
// summary: The exact circuits of a class's images as one graph, each edge once with its largest sensitivity.
// params:
//   class: class — its name or id
//   model: model = null — only this model's circuits
//   limit: integer = 1000 — rows at most
// returns:
//   source: string — address
//   target: string — address
//   from_node: node — a neuron
//   edge: relationship — DRIVES, of the image on which it is strongest
//   to_node: node — the neuron it drives
// key: source, target
// cost: lookup
// draws: exact_circuits_of_class
MATCH (:Class {id: $class})<-[:LABELLED]-(image:Image)<-[:EXPLAINS]-(c:Circuit)
MATCH (a:Neuron)-[r:DRIVES {circuit: c.id}]->(b:Neuron)
WHERE $model IS NULL OR a.model = $model
WITH a, b, image, r ORDER BY r.sensitivity DESC, c.id
WITH a, b, head(collect(r)) AS edge, count(DISTINCT image) AS images
RETURN a.id AS source, b.id AS target, a AS from_node, edge, b AS to_node
ORDER BY images DESC, source, target
LIMIT $limit
