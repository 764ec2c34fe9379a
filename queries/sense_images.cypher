// name: sense_images
// summary: The reference images of a sense, the most typical first.
// params:
//   sense: sense — its address
//   limit: integer = 100 — rows at most
// returns:
//   image: string — image id
//   name: string — path relative to the data root
//   class: string — class it is filed under
//   similarity: float — cosine to the sense's centroid, both seen from the neuron's mean vector
//   rank: integer — place in the sense; 1 is the nearest to its centroid
//   x: float — column of the neuron's maximum, in pixels of the transformed input
//   y: float — row of the neuron's maximum
// key: image
// cost: lookup
MATCH (:Sense {id: $sense})-[r:EXEMPLIFIED_BY]->(i:Image)
RETURN i.id AS image, i.name AS name,
  head(COLLECT { MATCH (i)-[:LABELLED]->(c:Class) RETURN c.id ORDER BY c.id }) AS class,
  r.similarity AS similarity, r.rank AS rank, r.x AS x, r.y AS y
ORDER BY rank, image
LIMIT $limit
