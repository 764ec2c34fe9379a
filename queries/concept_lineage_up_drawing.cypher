// name: concept_lineage_up_drawing
// summary: Where a concept goes, layer by layer, keeping the strongest of each, drawn.
// params:
//   concept: concept — its address
//   class: class = null — over whose images; by default the class it gives the largest share of
//   beam: integer = 5 — concepts kept in each layer
//   limit: integer = 200 — rows at most
// returns:
//   source: string — address
//   target: string — address
//   from_node: node — the earlier concept
//   edge: relationship — CONTRIBUTES_TO
//   to_node: node — the later one
//   step: integer — layers away from the concept
// key: source, target
// cost: report
// draws: concept_lineage_up
MATCH (c:Concept {id: $concept})
MATCH (:Layer {id: c.layer})<-[:HAS_LAYER]-(m:Model)
WITH c, COUNT { (m)-[:HAS_LAYER]->(:Layer) } AS layers, coalesce($class, head(COLLECT {
  MATCH (c)-[r:CONTRIBUTES_TO]->(k:Class) WHERE r.scope = k.id RETURN k.id ORDER BY r.share DESC, k.id LIMIT 1
})) AS class
// One step per layer: the nodes kept, each with the sum of what reaches it, and the edges between.
WITH class, reduce(steps = [[{node: c, weight: 1.0, edges: []}]], i IN range(1, layers - 1) | steps + [COLLECT {
  UNWIND steps[i - 1] AS from
  WITH from.node AS n
  MATCH (n)-[r:CONTRIBUTES_TO {scope: class}]->(o:Concept) WHERE r.hops = 1
  WITH DISTINCT o
  WITH o, COLLECT {
    UNWIND steps[i - 1] AS from
    WITH o, from.weight AS weight, from.node AS n
    MATCH (n)-[r:CONTRIBUTES_TO {scope: class}]->(o) WHERE r.hops = 1
    RETURN {edge: r, weight: weight * r.share}
  } AS reached
  WITH o, [x IN reached | x.edge] AS edges, reduce(sum = 0.0, x IN reached | sum + x.weight) AS weight
  RETURN {node: o, weight: weight, edges: edges}
  ORDER BY abs(weight) DESC, o.id LIMIT $beam
}]) AS steps
UNWIND range(1, size(steps) - 1) AS step
UNWIND steps[step] AS kept
UNWIND kept.edges AS r
RETURN startNode(r).id AS source, endNode(r).id AS target, startNode(r) AS from_node, r AS edge,
  endNode(r) AS to_node, step
ORDER BY step, abs(edge.share) DESC, source, target
LIMIT $limit
