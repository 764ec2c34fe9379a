// name: senses_serving_unrelated_classes
// summary: Neurons whose senses each serve one class, two classes that have little to do with each other.
// params:
//   model: model — whose neurons
//   layer: layer = null — only neurons of this layer
//   share: float = 0.2 — part of a sense's references that are of its class, at least
//   most: float = 0.0 — likeness of the two classes at most; classes not among each other's nearest count as unlike
//   limit: integer = 20 — rows at most
// returns:
//   neuron: string — address
//   sense_a: string — address
//   class_a: string — the class that sense serves most
//   sense_b: string — address
//   class_b: string — the class that sense serves most
//   similarity: float — how alike the classes are; null where neither is among the other's nearest
// key: sense_a, sense_b
// cost: report
MATCH (n:Neuron {model: $model, polysemantic: true})
WHERE $layer IS NULL OR EXISTS { (:Layer {id: $layer})-[:HAS_NEURON]->(n) }
CALL (n) {
  MATCH (n)-[:HAS_SENSE]->(s:Sense)
  CALL (s) {
    MATCH (s)-[r:SERVES]->(c:Class) RETURN r, c ORDER BY r.images DESC, c.id LIMIT 1
  }
  WITH s, c, r WHERE r.share >= $share
  RETURN collect({sense: s, class: c}) AS senses
}
UNWIND senses AS a
UNWIND senses AS b
WITH n, a.sense AS sa, a.class AS ca, b.sense AS sb, b.class AS cb
WHERE sa.id < sb.id AND ca <> cb
WITH n, sa, ca, sb, cb, head(COLLECT { MATCH (ca)-[r:RELATED_TO]-(cb) RETURN r.similarity ORDER BY r.similarity DESC }) AS likeness
WHERE coalesce(likeness, -1.0) <= $most
RETURN n.id AS neuron, sa.id AS sense_a, ca.id AS class_a, sb.id AS sense_b, cb.id AS class_b, likeness AS similarity
ORDER BY coalesce(similarity, -1.0), sense_a, sense_b
LIMIT $limit
