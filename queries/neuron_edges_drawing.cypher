// name: neuron_edges_drawing
// summary: A neuron with its strongest neighbours, over the whole data set.
// params:
//   neuron: neuron — its address
//   direction: string = "both" — up, down or both; down is towards the output
//   limit: integer = 20 — rows at most, of each direction
// returns:
//   direction: string — up or down
//   neighbour: string — address of the other neuron
//   source: node — where the edge starts
//   edge: relationship — FLOWS_TO
//   target: node — where it ends
// key: direction, neighbour
// cost: lookup
// draws: neuron_edges
CALL () {
  MATCH (:Neuron {id: $neuron})-[r:FLOWS_TO]->(other:Neuron)
  WHERE $direction IN ['down', 'both'] AND r.hops = 1
  RETURN 'down' AS direction, r, other ORDER BY r.sensitivity DESC, other.id LIMIT $limit
  UNION ALL
  MATCH (:Neuron {id: $neuron})<-[r:FLOWS_TO]-(other:Neuron)
  WHERE $direction IN ['up', 'both'] AND r.hops = 1
  RETURN 'up' AS direction, r, other ORDER BY r.sensitivity DESC, other.id LIMIT $limit
}
RETURN direction, other.id AS neighbour, startNode(r) AS source, r AS edge, endNode(r) AS target
ORDER BY direction, neighbour
LIMIT 2 * $limit
