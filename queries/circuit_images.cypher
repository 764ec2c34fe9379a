// name: circuit_images
// summary: The images that show which concept a circuit is, those most of its neurons hold first.
// params:
//   circuit: circuit — circuit id
//   limit: integer = 20 — rows at most
// returns:
//   rank: integer — place; 1 is the best
//   image: string — image id
//   name: string — path relative to the data root
//   class: string — class the image is filed under
//   similarity: float — share of the circuit's neurons that hold it in their root lists
// key: image
// cost: lookup
MATCH (:Circuit {id: $circuit})-[r:EXEMPLIFIED_BY]->(image:Image)
RETURN r.rank AS rank, image.id AS image, image.name AS name,
  head(COLLECT { MATCH (image)-[:LABELLED]->(c:Class) RETURN c.id ORDER BY c.id }) AS class,
  r.similarity AS similarity
ORDER BY rank, image
LIMIT $limit
