// name: neuron_classes
// summary: The classes a neuron tells best from the others.
// params:
//   neuron: neuron — its address
//   limit: integer = 10 — rows at most
// returns:
//   class: string — class id
//   auc: float — probability that an image of the class ranks above another
//   mean: float — mean ranking activation on the class
//   rank: integer — rank within the neuron
// key: class
// cost: lookup
MATCH (:Neuron {id: $neuron})-[r:RESPONDS_TO]->(c:Class)
RETURN c.id AS class, r.auc AS auc, r.mean AS mean, r.rank_out AS rank
ORDER BY rank, auc DESC, class
LIMIT $limit
