// name: top_images
// summary: The best images of each unit: what stands for it in a picture.
// params:
//   units: strings — ids of neurons, concepts, senses or images; an image stands for itself
//   per: integer = 1 — images of each
//   limit: integer = 5000 — rows at most
// returns:
//   rank: integer — place among the unit's images; 1 is the best
//   unit: string — its id
//   image: string — image id
//   name: string — path relative to the data root
//   thumb: string — path of the thumbnail, relative to the media folder
//   x: float — column of its position, in pixels of the transformed input
//   y: float — row of it
// key: unit, image
// cost: lookup
UNWIND $units AS unit
CALL (unit) {
  MATCH (:Neuron {id: unit})-[r:ACTIVATED_BY]->(i:Image) WHERE r.rank <= $per
  RETURN i, r.rank AS rank, r.x AS x, r.y AS y
  UNION ALL
  MATCH (:Concept {id: unit})-[r:EXEMPLIFIED_BY]->(i:Image) WHERE r.rank <= $per
  RETURN i, r.rank AS rank, r.x AS x, r.y AS y
  UNION ALL
  MATCH (:Sense {id: unit})-[r:EXEMPLIFIED_BY]->(i:Image) WHERE r.rank <= $per
  RETURN i, r.rank AS rank, r.x AS x, r.y AS y
  UNION ALL
  MATCH (i:Image {id: unit}) RETURN i, 1 AS rank, null AS x, null AS y
}
RETURN rank, unit, i.id AS image, i.name AS name, i.thumb AS thumb, x, y
ORDER BY rank, unit, image
LIMIT $limit
