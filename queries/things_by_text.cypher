// name: things_by_text
// summary: Models, layers, classes, images and concepts whose name or label fits a text, the best first.
// params:
//   text: string — words, or Lucene's syntax: `4-5*`, `fur AND NOT grass`
//   limit: integer = 20 — rows at most
// returns:
//   thing: string — its id
//   kind: string — what it is
//   name: string — its name or label
// key: thing
// cost: lookup
CALL db.index.fulltext.queryNodes('atlas_text', $text) YIELD node AS n, score
WITH n, score ORDER BY score DESC, n.id LIMIT $limit
RETURN n.id AS thing, labels(n)[0] AS kind, coalesce(n.label, n.name) AS name
ORDER BY score DESC, thing
LIMIT $limit
