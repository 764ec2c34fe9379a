// name: circuit_class_scores
// summary: What the members of a circuit carry straight to each class by the scores of its own run, summed.
// params:
//   circuit: circuit — circuit id
//   limit: integer = 1000 — rows at most
// returns:
//   class: string — class id; its scores are those on its own images
//   score: float — summed attribution, in units of the class's logit
//   neurons: integer — members with a stored score
// key: class
// cost: lookup
MATCH (c:Circuit {id: $circuit})-[:INCLUDES]->(n:Neuron)<-[:HAS_NEURON]-(l:Layer)
// One hop before the classes is the last layer alone; the others' edges are many, and all to neurons.
WHERE NOT EXISTS { (l)-[:FEEDS]->(:Layer) }
MATCH (n)-[a:ATTRIBUTES_TO]->(k:Class)
WHERE a.run = c.run AND a.scope = k.id AND a.hops = 1
RETURN k.id AS class, sum(a.score) AS score, count(n) AS neurons
ORDER BY score DESC, class
LIMIT $limit
