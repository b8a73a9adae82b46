-- Dashboards: what they show. Their data are in topics.
CREATE TABLE dashboard (
  tenant TEXT NOT NULL,
  id TEXT {bytewise} NOT NULL,
  -- Rises with each change, and begins anew with a dashboard that takes the name of one that is gone: `created_ms` tells them apart.
  version BIGINT NOT NULL CHECK (version >= 1),
  -- Text of a JSON object.
  definition TEXT NOT NULL,
  created_ms BIGINT NOT NULL,
  changed_ms BIGINT NOT NULL,
  PRIMARY KEY (tenant, id)
) {strict_rowless};
