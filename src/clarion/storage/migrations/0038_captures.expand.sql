-- Messages that were kept instead of sent, as they would have been handed to a provider. Ids sort by their time.
CREATE TABLE capture (
  tenant TEXT NOT NULL,
  id TEXT NOT NULL CHECK (id <> ''),
  channel TEXT NOT NULL,
  usr TEXT NOT NULL,
  address TEXT NOT NULL,
  workflow TEXT NOT NULL,
  category TEXT NOT NULL,
  message TEXT NOT NULL,
  content TEXT NOT NULL,
  at_ms BIGINT NOT NULL,
  PRIMARY KEY (tenant, id)
) {strict_rowless};
