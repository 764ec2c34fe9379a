// name: interventions
// summary: What cutting a circuit did to each class: predicted against measured.
// params:
//   circuit: circuit = null — only cuts of this circuit
//   limit: integer = 50 — rows at most
// returns:
//   intervention: string — its id
//   circuit: string — the circuit cut
//   class: string — the class looked at
//   metric: string — logit, probability, accuracy, kl, or probe LAYER (area under its ROC curve)
//   kind: string — what was cut
//   before: float — value on the untouched model
//   after: float — value after the cut
//   change: float — after - before
//   low: float — lower end of the 95 % interval of the change
//   high: float — upper end of it
//   predicted: float — change predicted by the circuit's scores
// key: intervention, circuit, class, metric
// cost: report
MATCH (i:Intervention)-[r:CHANGED]->(c:Class)
OPTIONAL MATCH (i)-[:CUTS]->(cut:Circuit)
WITH i, r, c, cut
WHERE $circuit IS NULL OR cut.id = $circuit
RETURN i.id AS intervention, cut.id AS circuit, c.id AS class, r.metric AS metric, i.kind AS kind,
  r.before AS before, r.after AS after, r.after - r.before AS change, r.low AS low, r.high AS high,
  r.predicted AS predicted
ORDER BY change, intervention, circuit, class, metric
LIMIT $limit
