// name: exact_circuits_of_class
// summary: The exact circuits of a class's images as one graph: every stored edge and for how many images it stands.
// params:
//   class: class — its name or id
//   model: model = null — only this model's circuits
//   limit: integer = 1000 — rows at most
// returns:
//   source: string — address
//   target: string — address
//   images: integer — images of the class whose circuits have the edge
//   sensitivity: float — S_NS, its mean over these images
//   identity: boolean — the same channel carried on by an identity shortcut
// key: source, target
// cost: lookup
MATCH (:Class {id: $class})<-[:LABELLED]-(image:Image)<-[:EXPLAINS]-(c:Circuit)
MATCH (a:Neuron)-[r:DRIVES {circuit: c.id}]->(b:Neuron)
WHERE $model IS NULL OR a.model = $model
WITH a, b, image, max(r.sensitivity) AS most, head(collect(r.identity)) AS identity
WITH a, b, count(image) AS images, avg(most) AS sensitivity, head(collect(identity)) AS identity
RETURN a.id AS source, b.id AS target, images, sensitivity, identity
ORDER BY images DESC, sensitivity DESC, source, target
LIMIT $limit
