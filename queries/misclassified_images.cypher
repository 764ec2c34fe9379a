// name: misclassified_images
// summary: The images that the model puts into another class, the surest mistakes first.
// params:
//   model: model — whose answers
//   class: class = null — only images filed under this class
//   limit: integer = 20 — rows at most
// returns:
//   image: string — image id
//   name: string — path relative to the data root
//   class: string — class it is filed under
//   answer: string — the class the model says
//   probability: float — softmax of the logits
//   circuits: integer — circuits stored for it
// key: image
// cost: report
MATCH (c:Class)<-[:LABELLED]-(image:Image)-[p:PREDICTED_AS]->(answer:Class)
WHERE answer <> c AND p.model = $model AND ($class IS NULL OR c.id = $class)
WITH c, image, p, answer ORDER BY p.probability DESC, image.id LIMIT $limit
RETURN image.id AS image, image.name AS name, c.id AS class, answer.id AS answer, p.probability AS probability,
  COUNT { (image)<-[:EXPLAINS]-(:Circuit) } AS circuits
ORDER BY probability DESC, image
LIMIT $limit
