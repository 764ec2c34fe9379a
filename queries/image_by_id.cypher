// name: image_by_id
// summary: One image: its class, what the model says of it, and how many circuits explain it.
// params:
//   image: image — id, file or name
//   limit: integer = 10 — rows at most, one per model
// returns:
//   image: string — image id
//   model: string — whose answer
//   name: string — path relative to the data root
//   split: string — list, judge, or the folder's own
//   class: string — the class it is filed under
//   answer: string — the class the model says
//   probability: float — softmax of the logits
//   logit: float — the logit
//   correct: boolean — the answer is the class
//   circuits: integer — circuits stored for it
//   thumb: string — path of the thumbnail in the media folder
// key: image, model
// cost: lookup
MATCH (image:Image {id: $image})
OPTIONAL MATCH (image)-[:LABELLED]->(c:Class)
OPTIONAL MATCH (image)-[p:PREDICTED_AS]->(answer:Class)
RETURN image.id AS image, p.model AS model, image.name AS name, image.split AS split, c.id AS class,
  answer.id AS answer, p.probability AS probability, p.logit AS logit, answer = c AS correct,
  COUNT { (image)<-[:EXPLAINS]-(:Circuit) } AS circuits, image.thumb AS thumb
ORDER BY image, model
LIMIT $limit
