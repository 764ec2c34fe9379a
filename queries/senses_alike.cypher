// name: senses_alike
// summary: Senses of different neurons of one layer that are fed by the same neurons: the same thing twice.
// params:
//   layer: layer — whose neurons
//   sense: sense = null — only pairs with this sense
//   least: float = 0.5 — cosine of the stored relevances at least
//   limit: integer = 20 — rows at most
// returns:
//   sense_a: string — address
//   sense_b: string — address
//   cosine: float — of the relevances of the lower neurons stored for both, others taken as zero
//   neurons: integer — lower neurons that feed both
//   images: integer — reference images of both
// key: sense_a, sense_b
// cost: report
MATCH (:Layer {id: $layer})-[:HAS_NEURON]->(:Neuron)-[:HAS_SENSE]->(a:Sense)<-[x:FEEDS_SENSE]-(n:Neuron)-[y:FEEDS_SENSE]->(b:Sense)
WHERE a.id < b.id AND x.run = y.run AND ($sense IS NULL OR $sense IN [a.id, b.id])
WITH a, b, sum(x.relevance * y.relevance) AS product, count(n) AS neurons
WHERE product > 0 OR $least <= 0
// Each sense's own length once, not once a pair.
WITH a, collect({b: b, product: product, neurons: neurons}) AS others
WITH a, others, COLLECT { MATCH (a)<-[r:FEEDS_SENSE]-() RETURN r.relevance } AS own
WITH a, others, reduce(t = 0.0, v IN own | t + v * v) AS square
UNWIND others AS o
WITH o.b AS b, collect({a: a, square: square, product: o.product, neurons: o.neurons}) AS pairs
WITH b, pairs, COLLECT { MATCH (b)<-[r:FEEDS_SENSE]-() RETURN r.relevance } AS own
WITH b, pairs, reduce(t = 0.0, v IN own | t + v * v) AS square
UNWIND pairs AS p
WITH p.a AS a, b, p.neurons AS neurons, p.product / sqrt(p.square * square) AS cosine
WHERE cosine >= $least
WITH DISTINCT a, b, neurons, cosine
WHERE NOT EXISTS { (a)<-[:HAS_SENSE]-(:Neuron)-[:HAS_SENSE]->(b) }
RETURN a.id AS sense_a, b.id AS sense_b, cosine, neurons,
  COUNT { (a)-[:EXEMPLIFIED_BY]->(:Image)<-[:EXEMPLIFIED_BY]-(b) } AS images
ORDER BY cosine DESC, sense_a, sense_b
LIMIT $limit
