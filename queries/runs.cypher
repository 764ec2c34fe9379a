// name: runs
// summary: The jobs whose results are in the atlas, the latest first.
// params:
//   model: model = null — only those on this model
//   limit: integer = 50 — rows at most
// returns:
//   run: string — run id
//   method: string — activations, gcc, cla, gig or pure
//   version: string — version of the method
//   model: string — address root
//   dataset: string — the images it looked at
//   status: string — loading, complete or deleting
//   circuits: integer — circuits it wrote
//   finished: string — ISO 8601, UTC
//   device: string — what computed it
// key: run
// cost: lookup
MATCH (run:Run)
OPTIONAL MATCH (run)-[:OF]->(m:Model)
OPTIONAL MATCH (run)-[:ON]->(d:Dataset)
WITH run, m, d
WHERE $model IS NULL OR m.id = $model
RETURN run.id AS run, run.method AS method, run.version AS version, m.id AS model, d.id AS dataset,
  run.status AS status, COUNT { (run)-[:WROTE]->(:Circuit) } AS circuits, run.finished AS finished,
  run.device AS device
ORDER BY finished DESC, run
LIMIT $limit
