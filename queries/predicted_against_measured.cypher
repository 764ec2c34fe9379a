// name: predicted_against_measured
// summary: What a circuit's scores say cutting it does to a class, beside what cutting it did.
// params:
//   circuit: circuit = null — only cuts of this circuit
//   limit: integer = 50 — rows at most
// returns:
//   intervention: string — its id
//   circuit: string — the circuit cut
//   class: string — the class looked at
//   metric: string — what is compared, such as logit
//   kind: string — how it was cut
//   predicted: float — change that the circuit's scores predict
//   measured: float — after - before
//   error: float — measured - predicted
//   low: float — lower end of the 95 % interval of the measured change
//   high: float — upper end of it
//   within: boolean — the prediction lies in that interval; null without one
// key: intervention, circuit, class, metric
// cost: report
MATCH (i:Intervention)-[r:CHANGED]->(c:Class)
WHERE r.predicted IS NOT NULL
OPTIONAL MATCH (i)-[:CUTS]->(cut:Circuit)
WITH i, r, c, cut
WHERE $circuit IS NULL OR cut.id = $circuit
RETURN i.id AS intervention, cut.id AS circuit, c.id AS class, r.metric AS metric, i.kind AS kind,
  r.predicted AS predicted, r.after - r.before AS measured, r.after - r.before - r.predicted AS error,
  r.low AS low, r.high AS high, r.predicted >= r.low AND r.predicted <= r.high AS within
ORDER BY abs(error) DESC, intervention, circuit, class, metric
LIMIT $limit
