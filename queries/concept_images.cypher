// name: concept_images
// summary: The images that show a concept best.
// params:
//   concept: concept — its address
//   limit: integer = 20 — rows at most
// returns:
//   image: string — image id
//   name: string — path relative to the data root
//   similarity: float — cosine of the image's nearest feature vector with the concept
//   rank: integer — place in the list; 1 is the best
//   x: float — column of that vector's cell, in pixels of the transformed input
//   y: float — its row
//   class: string — class it is filed under
//   thumb: string — path of the thumbnail, relative to the media folder
// key: image
// cost: lookup
MATCH (:Concept {id: $concept})-[r:EXEMPLIFIED_BY]->(i:Image)
RETURN i.id AS image, i.name AS name, r.similarity AS similarity, r.rank AS rank, r.x AS x, r.y AS y,
  head(COLLECT { MATCH (i)-[:LABELLED]->(k:Class) RETURN k.id ORDER BY k.id }) AS class, i.thumb AS thumb
ORDER BY rank, image
LIMIT $limit
