// name: shortcut_audit
// summary: Neurons through which the images of one set carry many classes at once: a shortcut, if the set is one concept.
// params:
//   scope: string — id of the ImageSet, such as digits:glyph
//   top: integer = 5 — a neuron carries a class if it is among this many sources of its logit
//   least: integer = 2 — classes a neuron carries at least
//   limit: integer = 20 — rows at most
// returns:
//   neuron: string — address
//   layer: string — name of its layer
//   classes: integer — classes it carries on these images
//   share: float — its part of these logits' attribution, mean over them
//   member: boolean — whether the set's contrastive circuit has it
//   of: strings — the classes
// key: neuron
// cost: report
MATCH (n:Neuron)-[r:ATTRIBUTES_TO]->(k:Class)
WHERE r.scope = $scope AND r.hops = 1 AND r.rank_in <= $top
WITH n, k, r ORDER BY k.id
WITH n, count(k) AS classes, avg(r.share) AS share, collect(k.id) AS of
WHERE classes >= $least
RETURN n.id AS neuron, n.layer AS layer, classes, share, EXISTS {
  (n)<-[:INCLUDES]-(:Circuit {method: "cla", variant: "contrastive", target: $scope})
} AS member, of
ORDER BY classes DESC, share DESC, neuron
LIMIT $limit
