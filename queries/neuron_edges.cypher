// name: neuron_edges
// summary: What a neuron flows to and what flows to it, over the whole data set, strongest first.
// params:
//   neuron: neuron — its address
//   direction: string = "both" — up, down or both; down is towards the output
//   limit: integer = 20 — rows at most, of each direction
// returns:
//   direction: string — up or down
//   neighbour: string — address of the other neuron
//   layer: string — its layer
//   sensitivity: float — S_NS, averaged over the source's best images
//   overlap: float — S_SF, share of the target's root list that is in the source's
//   identity: boolean — the same channel carried on by an identity shortcut
// key: direction, neighbour
// cost: lookup
CALL () {
  MATCH (:Neuron {id: $neuron})-[r:FLOWS_TO]->(other:Neuron)
  WHERE $direction IN ['down', 'both'] AND r.hops = 1
  RETURN 'down' AS direction, r, other ORDER BY r.sensitivity DESC, other.id LIMIT $limit
  UNION ALL
  MATCH (:Neuron {id: $neuron})<-[r:FLOWS_TO]-(other:Neuron)
  WHERE $direction IN ['up', 'both'] AND r.hops = 1
  RETURN 'up' AS direction, r, other ORDER BY r.sensitivity DESC, other.id LIMIT $limit
}
RETURN direction, other.id AS neighbour, other.layer AS layer, r.sensitivity AS sensitivity,
  r.overlap AS overlap, r.identity AS identity
ORDER BY sensitivity DESC, direction, neighbour
LIMIT 2 * $limit
