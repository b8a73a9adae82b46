-- What each webhook endpoint is signed with: sealed, with a key that is not here. `former` '' for none: it goes on being used
-- beside the current one until former_until_ms, so that a receiver has time to change.
CREATE TABLE webhook_secret (
  tenant TEXT NOT NULL,
  id TEXT NOT NULL CHECK (id <> ''),
  current TEXT NOT NULL,
  former TEXT NOT NULL,
  former_until_ms BIGINT NOT NULL,
  changed_ms BIGINT NOT NULL,
  PRIMARY KEY (tenant, id)
) {strict_rowless};
