// name: class_neurons
// summary: The neurons that tell a class best from the others.
// params:
//   class: class — its name or id
//   layer: layer = null — only neurons of this layer
//   limit: integer = 20 — rows at most
// returns:
//   neuron: string — address
//   layer: string — name of its layer
//   auc: float — probability that an image of the class ranks above another
//   mean: float — mean ranking activation on the class
//   rank: integer — rank of the class within the neuron
// key: neuron
// cost: lookup
MATCH (:Class {id: $class})<-[r:RESPONDS_TO]-(n:Neuron)
WHERE $layer IS NULL OR EXISTS { (n)<-[:HAS_NEURON]-(:Layer {id: $layer}) }
RETURN n.id AS neuron, n.layer AS layer, r.auc AS auc, r.mean AS mean, r.rank_out AS rank
ORDER BY auc DESC, neuron
LIMIT $limit
