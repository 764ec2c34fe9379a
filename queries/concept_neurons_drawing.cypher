// name: concept_neurons_drawing
// summary: A concept with the neurons that its direction loads on.
// params:
//   concept: concept — its address
//   limit: integer = 20 — rows at most
// returns:
//   neuron: string — address
//   from_node: node — the concept
//   edge: relationship — LOADS_ON
//   to_node: node — the neuron
// key: neuron
// cost: lookup
// draws: concept_neurons
MATCH (c:Concept {id: $concept})-[r:LOADS_ON]->(n:Neuron)
RETURN n.id AS neuron, c AS from_node, r AS edge, n AS to_node
ORDER BY edge.rank_out, neuron
LIMIT $limit
