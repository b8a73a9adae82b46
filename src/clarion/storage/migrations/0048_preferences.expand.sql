-- What people want to be told of, one document each; usr '' is the deployment's. Each change raises the revision.
CREATE TABLE preference (
  tenant TEXT NOT NULL,
  usr TEXT NOT NULL,
  document TEXT NOT NULL,
  revision BIGINT NOT NULL,
  updated_ms BIGINT NOT NULL,
  PRIMARY KEY (tenant, usr)
) {strict_rowless};
