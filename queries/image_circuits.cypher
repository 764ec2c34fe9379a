// name: image_circuits
// summary: The circuits that explain an image, the largest first.
// params:
//   image: image — id, file or name
//   model: model = null — only this model's circuits
//   limit: integer = 50 — rows at most
// returns:
//   circuit: string — circuit id
//   model: string — address root
//   root: string — neuron it starts at
//   size: integer — its nodes
//   edges: integer — its edges
//   layers: integer — layers it spans
//   diversity: float — 1 less its mean Jaccard with the image's other circuits
//   drop: float — target logit lost when its neurons are set to zero
//   merged_into: string — an earlier circuit that already holds its root
// key: circuit
// cost: lookup
MATCH (:Image {id: $image})<-[:EXPLAINS]-(c:Circuit)<-[:WROTE]-(:Run)-[:OF]->(m:Model)
WHERE $model IS NULL OR m.id = $model
RETURN c.id AS circuit, m.id AS model, c.root AS root, c.size AS size, c.edges AS edges, c.layers AS layers,
  c.diversity AS diversity, c.drop AS drop,
  head(COLLECT { MATCH (c)-[:MERGED_INTO]->(o:Circuit) RETURN o.id ORDER BY o.id }) AS merged_into
ORDER BY edges DESC, size DESC, circuit
LIMIT $limit
