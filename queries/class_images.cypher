// name: class_images
// summary: The images of a class and what the model says of them.
// params:
//   class: class — its name or id
//   model: model = null — only this model's answers
//   limit: integer = 20 — rows at most
// returns:
//   image: string — image id
//   model: string — whose answer
//   name: string — path relative to the data root
//   split: string — list, judge, or the folder's own
//   answer: string — the class the model says
//   probability: float — softmax of the logits
//   correct: boolean — the answer is the class
//   circuits: integer — circuits stored for the image
// key: image, model
// cost: lookup
MATCH (c:Class {id: $class})<-[:LABELLED]-(image:Image)
OPTIONAL MATCH (image)-[p:PREDICTED_AS]->(answer:Class)
WHERE $model IS NULL OR p.model = $model
RETURN image.id AS image, p.model AS model, image.name AS name, image.split AS split, answer.id AS answer,
  p.probability AS probability, answer = c AS correct, COUNT { (image)<-[:EXPLAINS]-(:Circuit) } AS circuits
ORDER BY image, model
LIMIT $limit
