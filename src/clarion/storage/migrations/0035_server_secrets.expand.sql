-- Secrets that all processes of a server share and that are never changed, such as the key that push services know it by. No tenant, as they are nobody's.
CREATE TABLE server_secret (
  name TEXT NOT NULL CHECK (name <> ''),
  value TEXT NOT NULL CHECK (value <> ''),
  PRIMARY KEY (name)
) {strict_rowless};
