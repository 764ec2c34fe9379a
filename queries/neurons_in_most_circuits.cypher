// name: neurons_in_most_circuits
// summary: The neurons that are in the CLA circuits of most classes and image sets.
// params:
//   variant: string = "contrastive" — contrastive (what exceeds the other classes) or raw
//   model: model = null — only this model's neurons
//   layer: layer = null — only neurons of this layer
//   limit: integer = 20 — rows at most
// returns:
//   neuron: string — address
//   layer: string — name of its layer
//   circuits: integer — circuits it is in
//   rank: float — its mean place in its layer of these circuits
//   of: strings — what they explain
// key: neuron
// cost: report
MATCH (c:Circuit {method: "cla", variant: $variant})-[r:INCLUDES]->(n:Neuron)
WHERE ($model IS NULL OR n.model = $model)
  AND ($layer IS NULL OR EXISTS { (n)<-[:HAS_NEURON]-(:Layer {id: $layer}) })
WITH n, c, r ORDER BY c.target
WITH n, count(c) AS circuits, avg(r.rank) AS rank, collect(c.target) AS of
RETURN n.id AS neuron, n.layer AS layer, circuits, rank, of
ORDER BY circuits DESC, rank, neuron
LIMIT $limit
