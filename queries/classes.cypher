// name: classes
// summary: The classes of the data set and how many images each has.
// params:
//   limit: integer = 2000 — rows at most
// returns:
//   class: string — class id
//   name: string — name of the class
//   ordinal: integer — index of the model output
//   images: integer — images filed under it
// key: class
// cost: lookup
MATCH (c:Class)
RETURN c.id AS class, c.name AS name, c.ordinal AS ordinal, COUNT { (c)<-[:LABELLED]-() } AS images
ORDER BY ordinal, class
LIMIT $limit
