// name: image_neurons
// summary: The neurons whose root list holds an image, or would, those it ranks highest in first.
// params:
//   image: image — id, file or name
//   model: model = null — only this model's neurons
//   limit: integer = 50 — rows at most
// returns:
//   neuron: string — address
//   layer: string — name of its layer
//   rank: integer — place of the image in the neuron's list, null for an image kept out of the lists
//   value: float — ranking activation
//   x: float — column of its largest position, in pixels of the transformed input
//   y: float — row of it
// key: neuron
// cost: lookup
CALL () {
  MATCH (:Image {id: $image})<-[r:ACTIVATED_BY]-(n:Neuron)
  RETURN n, r.rank AS rank, r.value AS value, r.x AS x, r.y AS y
  UNION
  // An image kept out of the lists has no rank, but may pass their last value.
  MATCH (image:Image {id: $image})-[a:ACTIVATES]->(l:Layer)
  UNWIND range(0, size(a.values) - 1) AS i
  MATCH (n:Neuron {model: l.model, layer: l.name, channel: a.channels[i]})
  WHERE a.values[i] > n.root_floor AND NOT EXISTS { (n)-[:ACTIVATED_BY]->(image) }
  RETURN n, null AS rank, a.values[i] AS value, null AS x, null AS y
}
WITH n, rank, value, x, y
WHERE $model IS NULL OR n.model = $model
RETURN n.id AS neuron, n.layer AS layer, rank AS rank, value AS value, x AS x, y AS y
ORDER BY rank, value DESC, neuron
LIMIT $limit
