// name: traversal_circuit
// summary: The circuit of a query by traversal alone: from the neurons it is typical of, along the stored flow.
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
//   sensitivity: float — S_NS, averaged over the source's best images
//   overlap: float — S_SF, share of the target's root list that is in the source's
//   identity: boolean — the same channel carried on by an identity shortcut
//   root: boolean — the source is one of the neurons the traversal starts at
// key: source, target
// cost: report
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
WITH roots, reduce(steps = [], i IN range(0, size(mask) - 2) | steps + [COLLECT {
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
RETURN startNode(r).id AS source, endNode(r).id AS target, r.sensitivity AS sensitivity, r.overlap AS overlap,
  r.identity AS identity, startNode(r) IN roots AS root
ORDER BY sensitivity DESC, source, target
LIMIT $limit
