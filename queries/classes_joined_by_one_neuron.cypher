// name: classes_joined_by_one_neuron
// summary: Classes that meet in one polysemantic neuron only, in different senses of it.
// params:
//   model: model — whose neurons
//   share: float = 0.2 — part of a sense's references that are of the class, at least
//   limit: integer = 20 — rows at most
// returns:
//   class_a: string — class id
//   class_b: string — class id
//   neuron: string — the neuron
//   sense_a: string — the sense that serves the first class
//   sense_b: string — the sense that serves the second
//   similarity: float — how alike the classes are; null where neither is among the other's nearest
// key: class_a, class_b
// cost: report
MATCH (n:Neuron {model: $model, polysemantic: true})-[:HAS_SENSE]->(s:Sense)-[r:SERVES]->(c:Class)
WHERE r.share >= $share
WITH n, collect({sense: s, class: c}) AS served
UNWIND served AS a
UNWIND served AS b
WITH n, a.sense AS sa, a.class AS ca, b.sense AS sb, b.class AS cb
WHERE sa <> sb AND ca.id < cb.id
WITH ca, cb, collect({neuron: n.id, a: sa.id, b: sb.id}) AS meetings, count(DISTINCT n) AS neurons
WHERE neurons = 1
WITH ca, cb, reduce(best = meetings[0], m IN meetings | CASE WHEN m.a + m.b < best.a + best.b THEN m ELSE best END) AS m
RETURN ca.id AS class_a, cb.id AS class_b, m.neuron AS neuron, m.a AS sense_a, m.b AS sense_b,
  head(COLLECT { MATCH (ca)-[r:RELATED_TO]-(cb) RETURN r.similarity ORDER BY r.similarity DESC }) AS similarity
ORDER BY coalesce(similarity, -1.0), class_a, class_b
LIMIT $limit
