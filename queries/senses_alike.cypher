// name: senses_alike
// summary: Senses of different neurons of one layer that are fed by the same neurons, the ten most alike of each (`pure.alike`): the same thing twice.
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
MATCH (:Layer {id: $layer})-[:HAS_NEURON]->(:Neuron)-[:HAS_SENSE]->(s:Sense)-[r:RESEMBLES]->(o:Sense)
WHERE r.cosine >= $least AND ($sense IS NULL OR $sense IN [s.id, o.id])
// A pair is stored from each sense that has the other among its best, so twice or once.
WITH CASE WHEN s.id < o.id THEN [s.id, o.id] ELSE [o.id, s.id] END AS pair, r
RETURN pair[0] AS sense_a, pair[1] AS sense_b, max(r.cosine) AS cosine, max(r.neurons) AS neurons, max(r.images) AS images
ORDER BY cosine DESC, sense_a, sense_b
LIMIT $limit
