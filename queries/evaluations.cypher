// name: evaluations
// summary: Every measured figure of the atlas with its interval.
// params:
//   run: run = null — only those of this run
//   limit: integer = 200 — rows at most
// returns:
//   evaluation: string — its id
//   subject: string — the circuit, layer, dictionary or run it is about
//   metric: string — what was measured
//   value: float — the figure
//   low: float — lower end of the 95 % interval
//   high: float — upper end of the 95 % interval
//   n: integer — units it rests on
//   settings: json — how it was measured
// key: evaluation
// cost: report
MATCH (e:Evaluation)
WHERE $run IS NULL OR e.run = $run
RETURN e.id AS evaluation, head(COLLECT { MATCH (e)-[:OF]->(t) RETURN t.id ORDER BY t.id }) AS subject,
  e.metric AS metric, e.value AS value, e.low AS low, e.high AS high, e.n AS n, e.settings AS settings
ORDER BY metric, evaluation
LIMIT $limit
