-- Digests and throttles of workflows.

-- What is collected for one recipient: of one step and key there is one that is open, and the index below makes it so. It leases
-- as a job does; run_ms is when it closes. max_ms: the latest that it may be put off to.
CREATE TABLE batch (
  tenant TEXT NOT NULL,
  id TEXT NOT NULL CHECK (id <> ''),
  workflow TEXT NOT NULL,
  step TEXT NOT NULL,
  usr TEXT NOT NULL,
  batch_key TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('open', 'closed')),
  -- The run that opened it and went on at once, '' for none.
  lead TEXT NOT NULL,
  size BIGINT NOT NULL,
  opened_ms BIGINT NOT NULL,
  max_ms BIGINT NOT NULL,
  run_ms BIGINT,
  token BIGINT NOT NULL DEFAULT 0,
  lease_by TEXT,
  attempts BIGINT NOT NULL DEFAULT 0,
  error TEXT,
  PRIMARY KEY (tenant, id)
) {strict_rowless};
CREATE UNIQUE INDEX batch_open ON batch (tenant, workflow, step, usr, batch_key) WHERE state = 'open';
CREATE INDEX batch_due ON batch (run_ms) WHERE run_ms IS NOT NULL;

-- Each run that was collected, in the order in which they came.
CREATE TABLE batch_item (
  tenant TEXT NOT NULL,
  batch TEXT NOT NULL,
  n BIGINT NOT NULL,
  run TEXT NOT NULL,
  at_ms BIGINT NOT NULL,
  PRIMARY KEY (tenant, batch, n)
) {strict_rowless};
CREATE UNIQUE INDEX batch_item_run ON batch_item (tenant, run, batch);

-- How many runs came to a throttle since the first of its present window.
CREATE TABLE throttle (
  tenant TEXT NOT NULL,
  throttle TEXT NOT NULL,
  began_ms BIGINT NOT NULL,
  ends_ms BIGINT NOT NULL,
  hits BIGINT NOT NULL,
  PRIMARY KEY (tenant, throttle)
) {strict_rowless};
CREATE INDEX throttle_age ON throttle (ends_ms);
