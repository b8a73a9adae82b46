-- Names this database, so that processes can tell whether they share one. One row; no tenant, as it is nobody's.
CREATE TABLE server (
  one INTEGER NOT NULL CHECK (one = 1),
  id TEXT NOT NULL CHECK (id <> ''),
  PRIMARY KEY (one)
) {strict_rowless};
