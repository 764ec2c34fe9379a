// name: concept_neurons
// summary: The neurons that a concept's direction loads on most.
// params:
//   concept: concept — its address
//   limit: integer = 20 — rows at most
// returns:
//   neuron: string — address
//   weight: float — entry of the concept's unit vector
//   rank: integer — rank by absolute weight; 1 is the largest
// key: neuron
// cost: lookup
MATCH (:Concept {id: $concept})-[r:LOADS_ON]->(n:Neuron)
RETURN n.id AS neuron, r.weight AS weight, r.rank_out AS rank
ORDER BY rank, neuron
LIMIT $limit
