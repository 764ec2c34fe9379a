// name: image_neurons
// summary: The neurons whose root list holds an image, those it ranks highest in first.
// params:
//   image: image — id, file or name
//   model: model = null — only this model's neurons
//   limit: integer = 50 — rows at most
// returns:
//   neuron: string — address
//   layer: string — name of its layer
//   rank: integer — place of the image in the neuron's list
//   value: float — ranking activation
//   x: float — column of its largest position, in pixels of the transformed input
//   y: float — row of it
// key: neuron
// cost: lookup
MATCH (:Image {id: $image})<-[r:ACTIVATED_BY]-(n:Neuron)
WHERE $model IS NULL OR n.model = $model
RETURN n.id AS neuron, n.layer AS layer, r.rank AS rank, r.value AS value, r.x AS x, r.y AS y
ORDER BY rank, neuron
LIMIT $limit
