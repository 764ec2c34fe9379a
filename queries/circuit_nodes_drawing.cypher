// name: circuit_nodes_drawing
// summary: A circuit with what it explains and its members.
// params:
//   circuit: circuit — circuit id
//   limit: integer = 500 — rows at most
// returns:
//   node: string — address
//   membership: path — circuit to member
//   explains: relationships — circuit to what it explains
//   explained: nodes — what it explains
// key: node
// cost: lookup
// draws: circuit_nodes
MATCH membership = (c:Circuit {id: $circuit})-[:INCLUDES]->(n:Neuron)
RETURN n.id AS node, membership, COLLECT { MATCH (c)-[e:EXPLAINS]->() RETURN e } AS explains,
  COLLECT { MATCH (c)-[:EXPLAINS]->(t) RETURN t } AS explained
ORDER BY node
LIMIT $limit
