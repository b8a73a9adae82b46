-- Users who may not come in. until_ms NULL: for ever. The reason is for people; '': none was given.
CREATE TABLE blocked_user (
  tenant TEXT NOT NULL,
  id TEXT NOT NULL CHECK (id <> ''),
  until_ms BIGINT,
  reason TEXT NOT NULL,
  created_ms BIGINT NOT NULL,
  PRIMARY KEY (tenant, id)
) {strict_rowless};
