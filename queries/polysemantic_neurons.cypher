// name: polysemantic_neurons
// summary: The neurons that the calibrated test calls polysemantic, the most certain first.
// params:
//   model: model — whose neurons
//   layer: layer = null — only neurons of this layer
//   class: class = null — only neurons of which one sense serves this class
//   least: integer = 1 — references that the smallest sense has at least
//   limit: integer = 20 — rows at most
// returns:
//   neuron: string — address
//   senses: integer — number of senses
//   sizes: integers — references of each, by ordinal
//   silhouette: float — of the split, in [-1, 1]
//   q: float — Benjamini-Hochberg adjusted p value
//   p: float — p value of the test for two senses
//   classes: strings — the class each sense serves most, by ordinal
// key: neuron
// cost: report
MATCH (n:Neuron {model: $model, polysemantic: true})
WHERE ($layer IS NULL OR EXISTS { (:Layer {id: $layer})-[:HAS_NEURON]->(n) })
  AND ($class IS NULL OR EXISTS { (n)-[:HAS_SENSE]->(:Sense)-[:SERVES]->(:Class {id: $class}) })
  AND NOT EXISTS { MATCH (n)-[:HAS_SENSE]->(s:Sense) WHERE s.size < $least }
WITH n ORDER BY n.q, n.silhouette DESC, n.id LIMIT $limit
CALL (n) {
  MATCH (n)-[:HAS_SENSE]->(s:Sense)
  WITH s ORDER BY s.ordinal
  RETURN collect(s.size) AS sizes, collect(coalesce(head(COLLECT {
    MATCH (s)-[r:SERVES]->(c:Class) RETURN c.id ORDER BY r.images DESC, c.id LIMIT 1
  }), '')) AS classes
}
RETURN n.id AS neuron, n.senses AS senses, sizes, n.silhouette AS silhouette, n.q AS q, n.p AS p, classes
ORDER BY q, silhouette DESC, neuron
LIMIT $limit
