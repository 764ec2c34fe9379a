// name: traversal_circuit_drawing
// summary: The circuit of a query by traversal alone, as a graph of neurons.
// params:
//   image: image = null — an ingested image: id, file or name
//   active: maps = [] — for a new image, per layer {layer: name, channels: those whose mask list would hold it}
//   roots: strings = [] — for a new image, ids of the neurons whose root list would hold it
//   model: model — whose circuit
//   share: float = 0.05 — part of a source's candidates that is kept, by sensitivity
//   floor: float = 0.1 — least overlap of an edge
//   limit: integer = 1000 — rows at most
// returns:
//   source: string — address
//   target: string — address
//   from_node: node — where the edge starts
//   edge: relationship — FLOWS_TO
//   to_node: node — where it ends
// key: source, target
// cost: report
// draws: traversal_circuit
CALL () {
  MATCH (:Model {id: $model})-[:HAS_LAYER]->(l:Layer)
  OPTIONAL MATCH (l)<-[a:ACTIVATES]-(:Image {id: $image})
  WITH l, coalesce(a.channels, head([x IN $active WHERE x.layer = l.name | x.channels]), []) AS channels
  ORDER BY l.ordinal
  RETURN collect({layer: l.name, channels: channels}) AS mask
}
CALL (mask) {
  MATCH (:Image {id: $image})<-[:ACTIVATED_BY]-(n:Neuron) WHERE n.model = $model RETURN n
  UNION
  // An image kept out of the lists starts where it passes their last value.
  MATCH (:Image {id: $image})-[a:ACTIVATES]->(l:Layer {model: $model})
  UNWIND range(0, size(a.values) - 1) AS i
  MATCH (n:Neuron {model: $model, layer: l.name, channel: a.channels[i]}) WHERE a.values[i] > n.root_floor RETURN n
  UNION
  UNWIND $roots AS id MATCH (n:Neuron {id: id}) RETURN n
}
WITH mask, collect(n) AS roots
// One step per layer; a step is the edges kept from the roots and the reached neurons of that layer.
WITH reduce(steps = [], i IN range(0, size(mask) - 2) | steps + [COLLECT {
  UNWIND [n IN roots WHERE n.layer = mask[i].layer] + [r IN coalesce(steps[i - 1], []) | endNode(r)] AS n
  WITH DISTINCT n
  WITH COLLECT {
    MATCH (n)-[r:FLOWS_TO]->(m:Neuron)
    WHERE r.hops = 1 AND r.sensitivity > 0 AND m.channel IN mask[i + 1].channels
    RETURN r ORDER BY r.sensitivity DESC, m.channel
  } AS candidates
  WITH candidates, reduce(total = 0.0, r IN candidates | total + r.overlap) / size(mask[i + 1].channels) AS mean
  UNWIND candidates[..toInteger(ceil($share * size(candidates)))] AS r
  WITH r WHERE r.overlap > $floor AND r.overlap > mean
  RETURN r
}]) AS steps
UNWIND steps AS step
UNWIND step AS r
RETURN startNode(r).id AS source, endNode(r).id AS target, startNode(r) AS from_node, r AS edge,
  endNode(r) AS to_node
ORDER BY edge.sensitivity DESC, source, target
LIMIT $limit
