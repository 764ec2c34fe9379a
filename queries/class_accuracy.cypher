// name: class_accuracy
// summary: How often the model is right on each class, the worst first, and what it says instead.
// params:
//   model: model — whose answers
//   limit: integer = 50 — rows at most
// returns:
//   class: string — class id
//   images: integer — images with an answer
//   correct: integer — of these, answered with the class
//   accuracy: float — correct / images
//   instead: string — the most frequent wrong answer
//   mistakes: integer — images answered so
// key: class
// cost: report
MATCH (c:Class)<-[:LABELLED]-(image:Image)-[p:PREDICTED_AS]->(answer:Class)
WHERE p.model = $model
WITH c, answer, count(image) AS images ORDER BY images DESC, answer.id
WITH c, sum(images) AS total, collect({answer: answer, images: images}) AS answers
WITH c, total, [a IN answers WHERE a.answer = c | a.images] AS right, [a IN answers WHERE a.answer <> c] AS wrong
WITH c, total, coalesce(head(right), 0) AS correct, head(wrong) AS worst
RETURN c.id AS class, total AS images, correct, toFloat(correct) / total AS accuracy,
  worst.answer.id AS instead, coalesce(worst.images, 0) AS mistakes
ORDER BY accuracy, class
LIMIT $limit
