// name: circuits_of_class
// summary: The circuits that explain a class or its images, the largest first.
// params:
//   class: class — its name or id
//   model: model = null — only this model's circuits
//   limit: integer = 50 — rows at most
// returns:
//   circuit: string — circuit id
//   target: string — the class, or the image of it
//   root: string — neuron it starts at
//   size: integer — its nodes
//   edges: integer — its edges
//   drop: float — target logit lost when its neurons are set to zero
// key: circuit
// cost: lookup
CALL () {
  MATCH (:Class {id: $class})<-[:LABELLED]-(:Image)<-[:EXPLAINS]-(c:Circuit)
  RETURN c
  UNION
  MATCH (:Class {id: $class})<-[:EXPLAINS]-(c:Circuit)
  RETURN c
}
WITH c
WHERE $model IS NULL OR EXISTS { (c)<-[:WROTE]-(:Run)-[:OF]->(:Model {id: $model}) }
RETURN c.id AS circuit, c.target AS target, c.root AS root, c.size AS size, c.edges AS edges, c.drop AS drop
ORDER BY edges DESC, size DESC, circuit
LIMIT $limit
