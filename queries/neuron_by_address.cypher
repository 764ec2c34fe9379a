// name: neuron_by_address
// summary: One neuron: its statistics and its lists' last values.
// params:
//   neuron: neuron — its address
//   limit: integer = 1 — rows at most
// returns:
//   neuron: string — address
//   layer: string — name of its layer
//   channel: integer — index in its layer
//   mean: float — mean of the ranking activation
//   std: float — its population standard deviation
//   max: float — its largest value
//   p90: float — its 90th percentile
//   p99: float — its 99th percentile
//   dead: boolean — the same on every image
//   root_floor: float — last value of the root list
//   mask_floor: float — last value of the mask list
//   circuits: integer — circuits it is part of
// key: neuron
// cost: lookup
MATCH (n:Neuron {id: $neuron})
RETURN n.id AS neuron, n.layer AS layer, n.channel AS channel, n.mean AS mean, n.std AS std, n.max AS max,
  n.p90 AS p90, n.p99 AS p99, n.dead AS dead, n.root_floor AS root_floor, n.mask_floor AS mask_floor,
  COUNT { (n)<-[:INCLUDES]-() } AS circuits
ORDER BY neuron
LIMIT $limit
