// name: circuit_of_image
// summary: The exact circuits of an image as one graph: every stored edge and in how many of them it is.
// params:
//   image: image — id, file or name
//   model: model = null — only this model's circuits
//   limit: integer = 1000 — rows at most
// returns:
//   source: string — address
//   target: string — address
//   sensitivity: float — S_NS on the image
//   overlap: float — S_SF, share of the target's root list that is in the source's
//   identity: boolean — the same channel carried on by an identity shortcut
//   circuits: integer — circuits of the image that have the edge
// key: source, target
// cost: lookup
MATCH (:Image {id: $image})<-[:EXPLAINS]-(c:Circuit)
MATCH (a:Neuron)-[r:DRIVES {circuit: c.id}]->(b:Neuron)
WHERE $model IS NULL OR a.model = $model
WITH a, b, collect(r) AS edges
RETURN a.id AS source, b.id AS target, edges[0].sensitivity AS sensitivity, edges[0].overlap AS overlap,
  edges[0].identity AS identity, size(edges) AS circuits
ORDER BY sensitivity DESC, source, target
LIMIT $limit
