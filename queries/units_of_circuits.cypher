// name: units_of_circuits
// summary: Every neuron and concept that a circuit names, the concepts that carry a class, and senses of these neurons.
// params:
//   model: model = null — only this model's
//   k: integer = 5 — concepts of each layer, the strongest for a class
//   limit: integer = 10000 — rows at most
// returns:
//   unit: string — address
//   kind: string — Neuron, Concept or Sense
//   layer: string — id of its layer
//   circuits: integer — circuits that name it; of a sense, its neuron's
// key: unit
// cost: report
CALL () {
  MATCH (l:Layer)-[:HAS_NEURON]->(n:Neuron)
  WHERE EXISTS { (n)<-[:INCLUDES]-() }
  RETURN n.id AS unit, 'Neuron' AS kind, l.id AS layer, COUNT { (n)<-[:INCLUDES]-() } AS circuits
  UNION ALL
  CALL () {
    MATCH (c:Concept) WHERE EXISTS { (c)<-[:INCLUDES]-() } RETURN c
    UNION
    MATCH (k:Class)<-[r:CONTRIBUTES_TO]-(c:Concept) WHERE r.scope = k.id AND r.rank_in <= $k RETURN c
  }
  RETURN c.id AS unit, 'Concept' AS kind, c.layer AS layer, COUNT { (c)<-[:INCLUDES]-() } AS circuits
  UNION ALL
  MATCH (l:Layer)-[:HAS_NEURON]->(n:Neuron)-[:HAS_SENSE]->(s:Sense)
  WHERE n.polysemantic AND EXISTS { (n)<-[:INCLUDES]-() }
  RETURN s.id AS unit, 'Sense' AS kind, l.id AS layer, COUNT { (n)<-[:INCLUDES]-() } AS circuits
}
WITH * WHERE $model IS NULL OR layer STARTS WITH $model + '/'
RETURN unit, kind, layer, circuits
ORDER BY circuits DESC, unit
LIMIT $limit
