// name: paths_between_neurons
// summary: The strongest chains of flow between two neurons, by the product of their sensitivities.
// params:
//   source: neuron — where the paths start
//   target: neuron — where they end, in a later layer
//   beam: integer = 200 — half-paths kept at each layer from either end; more is slower and surer
//   limit: integer = 10 — rows at most
// returns:
//   path: strings — addresses from source to target
//   strength: float — product of the sensitivities
//   weakest: float — smallest overlap on the way
// key: path
// cost: report
MATCH (a:Neuron {id: $source})<-[:HAS_NEURON]-(first:Layer)
CALL (first) {
  MATCH (b:Neuron {id: $target})<-[:HAS_NEURON]-(last:Layer)
  RETURN b, last.ordinal - first.ordinal AS gap
}
WITH b, gap, reduce(beam = [{node: a, edges: [], strength: 1.0}], i IN range(1, (gap + 1) / 2) | COLLECT {
  UNWIND beam AS half
  WITH half, half.node AS n
  MATCH (n)-[r:FLOWS_TO]->(m:Neuron) WHERE r.hops = 1 AND r.sensitivity > 0
  RETURN {node: m, edges: half.edges + [r], strength: half.strength * r.sensitivity}
  ORDER BY half.strength * r.sensitivity DESC, m.id LIMIT $beam
}) AS forward
WITH gap, forward, reduce(beam = [{node: b, edges: [], strength: 1.0}], i IN range(1, gap / 2) | COLLECT {
  UNWIND beam AS half
  WITH half, half.node AS n
  MATCH (n)<-[r:FLOWS_TO]-(m:Neuron) WHERE r.hops = 1 AND r.sensitivity > 0
  RETURN {node: m, edges: [r] + half.edges, strength: half.strength * r.sensitivity}
  ORDER BY half.strength * r.sensitivity DESC, m.id LIMIT $beam
}) AS backward
UNWIND forward AS one
UNWIND [two IN backward WHERE two.node = one.node AND gap > 0] AS two
WITH one.edges + two.edges AS edges, one.strength * two.strength AS strength
WITH strength, edges, [r IN edges | startNode(r).id] + [endNode(edges[-1]).id] AS path
RETURN path, strength, reduce(least = 1.0, r IN edges | CASE WHEN r.overlap < least THEN r.overlap ELSE least END)
  AS weakest
ORDER BY strength DESC, path
LIMIT $limit
