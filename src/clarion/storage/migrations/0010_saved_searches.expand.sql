-- Saved searches: what is handed on when a document begins to match. `query`, `access` and `hands` are texts of JSON; `access` NULL: sees everything.
CREATE TABLE search_saved (
  tenant TEXT NOT NULL,
  collection BIGINT NOT NULL,
  name TEXT {bytewise} NOT NULL,
  query TEXT NOT NULL,
  access TEXT,
  hands TEXT NOT NULL,
  -- Changes up to this offset were before it.
  since BIGINT NOT NULL,
  created_ms BIGINT NOT NULL,
  PRIMARY KEY (tenant, collection, name)
) {strict_rowless};

-- Up to which change the saved searches of a collection have handed on everything.
CREATE TABLE search_saved_head (
  tenant TEXT NOT NULL,
  collection BIGINT NOT NULL,
  off BIGINT NOT NULL,
  PRIMARY KEY (tenant, collection)
) {strict_rowless};
