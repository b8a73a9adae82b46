-- Workflows: their versions, what was triggered, each recipient's run, and what is sent by channels other than the inbox.

-- A version never changes: a run goes on with the one that it began with.
CREATE TABLE workflow_version (
  tenant TEXT NOT NULL,
  workflow TEXT NOT NULL CHECK (workflow <> ''),
  version BIGINT NOT NULL,
  definition TEXT NOT NULL,
  digest TEXT NOT NULL,
  author TEXT NOT NULL,
  created_ms BIGINT NOT NULL,
  PRIMARY KEY (tenant, workflow, version)
) {strict_rowless};

-- `version` is the current one. is_active 0: it may not be triggered; what runs goes on.
CREATE TABLE workflow (
  tenant TEXT NOT NULL,
  workflow TEXT NOT NULL CHECK (workflow <> ''),
  version BIGINT NOT NULL,
  is_active BIGINT NOT NULL CHECK (is_active IN (0, 1)),
  updated_ms BIGINT NOT NULL,
  PRIMARY KEY (tenant, workflow)
) {strict_rowless};

-- What was asked for. `asked` is the JSON of whom it names; `total` counts those who were found so far.
CREATE TABLE trigger_call (
  tenant TEXT NOT NULL,
  id TEXT NOT NULL CHECK (id <> ''),
  workflow TEXT NOT NULL,
  version BIGINT NOT NULL,
  caller TEXT NOT NULL,
  actor TEXT NOT NULL,
  payload TEXT NOT NULL,
  asked TEXT NOT NULL,
  -- '' says: none.
  cancel_key TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('planning', 'planned', 'cancelled', 'failed')),
  total BIGINT NOT NULL,
  created_ms BIGINT NOT NULL,
  PRIMARY KEY (tenant, id)
) {strict_rowless};
CREATE INDEX trigger_call_cancel ON trigger_call (tenant, cancel_key) WHERE cancel_key <> '';
CREATE INDEX trigger_call_age ON trigger_call (created_ms);

-- One recipient's way through a workflow. It leases as a job does: run_ms is when it is due, or when the lease ends of who
-- claimed it; NULL: it waits for company, or has ended. wait_key: what it waits for beside the time, '' for nothing.
CREATE TABLE run (
  tenant TEXT NOT NULL,
  id TEXT NOT NULL CHECK (id <> ''),
  trigger_id TEXT NOT NULL,
  usr TEXT NOT NULL,
  workflow TEXT NOT NULL,
  version BIGINT NOT NULL,
  state TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('running', 'collected', 'done', 'stopped', 'failed', 'cancelled')),
  wait_key TEXT NOT NULL,
  run_ms BIGINT,
  token BIGINT NOT NULL DEFAULT 0,
  lease_by TEXT,
  attempts BIGINT NOT NULL DEFAULT 0,
  error TEXT,
  created_ms BIGINT NOT NULL,
  PRIMARY KEY (tenant, id)
) {strict_rowless};
CREATE UNIQUE INDEX run_recipient ON run (tenant, trigger_id, usr);
CREATE INDEX run_due ON run (run_ms) WHERE run_ms IS NOT NULL;
CREATE INDEX run_wait ON run (tenant, wait_key) WHERE wait_key <> '';
CREATE INDEX run_usr ON run (tenant, usr);

-- What became of each step and why: `read` is the JSON of every fact that decided it.
CREATE TABLE run_record (
  tenant TEXT NOT NULL,
  run TEXT NOT NULL,
  n BIGINT NOT NULL,
  step TEXT NOT NULL,
  outcome TEXT NOT NULL,
  why TEXT NOT NULL,
  read TEXT NOT NULL,
  at_ms BIGINT NOT NULL,
  PRIMARY KEY (tenant, run, n)
) {strict_rowless};

-- A message of a channel other than the inbox. It leases as a job does; run_ms NULL: it has come to an end. rank orders its
-- life cycle, so that it never goes back. The times are NULL until they happened.
CREATE TABLE outgoing (
  tenant TEXT NOT NULL,
  id TEXT NOT NULL CHECK (id <> ''),
  -- What the step made: one message, to each address a row.
  message TEXT NOT NULL,
  run TEXT NOT NULL,
  trigger_id TEXT NOT NULL,
  workflow TEXT NOT NULL,
  category TEXT NOT NULL,
  step TEXT NOT NULL,
  usr TEXT NOT NULL,
  channel TEXT NOT NULL,
  address TEXT NOT NULL,
  content TEXT NOT NULL,
  -- The provider that has it, '' before.
  provider TEXT NOT NULL,
  -- What the provider calls it, '' where it did not say.
  provider_id TEXT NOT NULL,
  status TEXT NOT NULL,
  rank BIGINT NOT NULL,
  cause TEXT NOT NULL,
  run_ms BIGINT,
  token BIGINT NOT NULL DEFAULT 0,
  lease_by TEXT,
  attempts BIGINT NOT NULL DEFAULT 0,
  error TEXT,
  created_ms BIGINT NOT NULL,
  sent_ms BIGINT,
  delivered_ms BIGINT,
  seen_ms BIGINT,
  read_ms BIGINT,
  clicked_ms BIGINT,
  ended_ms BIGINT,
  PRIMARY KEY (tenant, id)
) {strict_rowless};
CREATE INDEX outgoing_due ON outgoing (run_ms) WHERE run_ms IS NOT NULL;
CREATE INDEX outgoing_message ON outgoing (tenant, message);
CREATE INDEX outgoing_usr ON outgoing (tenant, usr, created_ms);
CREATE INDEX outgoing_trigger ON outgoing (tenant, trigger_id);
CREATE INDEX outgoing_dead ON outgoing (tenant, created_ms) WHERE status = 'failed';
CREATE INDEX outgoing_provider ON outgoing (tenant, provider, provider_id) WHERE provider_id <> '';

-- Each try of handing a message to a provider. took_ms: until it answered.
CREATE TABLE attempt (
  tenant TEXT NOT NULL,
  message TEXT NOT NULL,
  n BIGINT NOT NULL,
  provider TEXT NOT NULL,
  outcome TEXT NOT NULL,
  answer TEXT NOT NULL,
  at_ms BIGINT NOT NULL,
  took_ms BIGINT NOT NULL,
  PRIMARY KEY (tenant, message, n)
) {strict_rowless};

-- What a message in the inbox came from: '' for notifications that no workflow sent.
ALTER TABLE notification ADD COLUMN trigger_id TEXT NOT NULL DEFAULT '';
ALTER TABLE notification ADD COLUMN workflow TEXT NOT NULL DEFAULT '';
ALTER TABLE notification ADD COLUMN category TEXT NOT NULL DEFAULT '';
-- When it was first on the screen.
ALTER TABLE message ADD COLUMN seen_ms BIGINT;
