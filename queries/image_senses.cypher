// name: image_senses
// summary: The senses in which an image activates polysemantic neurons, the clearest first.
// params:
//   image: image — id, file or name
//   layer: layer = null — only neurons of this layer
//   limit: integer = 20 — rows at most
// returns:
//   neuron: string — address
//   sense: string — address
//   margin: float — (d2 - d1) / d2 of the distances to the nearest and the next centroid, in [0, 1]
//   classes: strings — the three classes that sense serves most
// key: neuron
// cost: lookup
MATCH (:Image {id: $image})-[r:ASSIGNED_TO]->(s:Sense)<-[:HAS_SENSE]-(n:Neuron)
WHERE $layer IS NULL OR EXISTS { (:Layer {id: $layer})-[:HAS_NEURON]->(n) }
WITH n, s, r ORDER BY r.margin DESC, n.id LIMIT $limit
RETURN n.id AS neuron, s.id AS sense, r.margin AS margin, COLLECT {
  MATCH (s)-[w:SERVES]->(c:Class) RETURN c.id ORDER BY w.images DESC, c.id LIMIT 3
} AS classes
ORDER BY margin DESC, neuron
LIMIT $limit
