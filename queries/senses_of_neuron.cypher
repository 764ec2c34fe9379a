// name: senses_of_neuron
// summary: The senses of a neuron: what feeds each, which classes it serves, and its most typical images.
// params:
//   neuron: neuron — its address
//   top: integer = 3 — feeding neurons, classes and images of each
//   limit: integer = 20 — rows at most
// returns:
//   sense: string — address
//   size: integer — reference images of it
//   share: float — part of the neuron's references, in [0, 1]
//   silhouette: float — mean silhouette of its references
//   feeds: strings — lower neurons with the largest mean relevance, in absolute value
//   classes: strings — the classes of its references, most frequent first
//   images: strings — its most typical references, by name
// key: sense
// cost: lookup
MATCH (:Neuron {id: $neuron})-[:HAS_SENSE]->(s:Sense)
RETURN s.id AS sense, s.size AS size, s.share AS share, s.silhouette AS silhouette,
  COLLECT { MATCH (s)<-[r:FEEDS_SENSE]-(n:Neuron) RETURN n.id ORDER BY r.rank_in, n.id LIMIT $top } AS feeds,
  COLLECT { MATCH (s)-[r:SERVES]->(c:Class) RETURN c.id ORDER BY r.images DESC, c.id LIMIT $top } AS classes,
  COLLECT { MATCH (s)-[r:EXEMPLIFIED_BY]->(i:Image) RETURN i.name ORDER BY r.rank, i.name LIMIT $top } AS images
ORDER BY size DESC, sense
LIMIT $limit
