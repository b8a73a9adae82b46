-- Triggers that wait for their time, and schedules that trigger workflows.

-- Not before start_ms (0: at once). local_start: what the recipient's own clock shows when their run begins, '' for everybody at once.
ALTER TABLE trigger_call ADD COLUMN start_ms BIGINT NOT NULL DEFAULT 0;
ALTER TABLE trigger_call ADD COLUMN local_start TEXT NOT NULL DEFAULT '';

-- definition: as it was given; rule: when it comes round, fixed. It leases as a job does; run_ms NULL: it is paused, or over.
-- next_ms is its next occurrence, since_ms the last one that was dealt with (or when it was put), last_key that one's name.
CREATE TABLE schedule (
  tenant TEXT NOT NULL,
  id TEXT NOT NULL CHECK (id <> ''),
  workflow TEXT NOT NULL,
  definition TEXT NOT NULL,
  rule TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('active', 'paused', 'ended', 'cancelled')),
  -- Why it is paused, '' if somebody wished it.
  why TEXT NOT NULL,
  revision BIGINT NOT NULL,
  author TEXT NOT NULL,
  next_ms BIGINT,
  since_ms BIGINT NOT NULL,
  last_key TEXT NOT NULL,
  -- The edition of the zone data that next_ms is reckoned by.
  zone_data TEXT NOT NULL,
  priority BIGINT NOT NULL DEFAULT 2,
  run_ms BIGINT,
  token BIGINT NOT NULL DEFAULT 0,
  lease_by TEXT,
  attempts BIGINT NOT NULL DEFAULT 0,
  error TEXT,
  created_ms BIGINT NOT NULL,
  updated_ms BIGINT NOT NULL,
  PRIMARY KEY (tenant, id)
) {strict_rowless};
CREATE INDEX schedule_due ON schedule (priority, tenant, run_ms, id) WHERE run_ms IS NOT NULL;
CREATE INDEX schedule_workflow ON schedule (tenant, workflow, id);

-- What became of each occurrence. key is its name ('' where it was run by hand): once there, it is never triggered again.
CREATE TABLE occurrence (
  tenant TEXT NOT NULL,
  schedule TEXT NOT NULL,
  id TEXT NOT NULL CHECK (id <> ''),
  key TEXT NOT NULL,
  due_ms BIGINT NOT NULL,
  -- The first of those that were missed and that it stands for; 0: there are none.
  missed_ms BIGINT NOT NULL,
  outcome TEXT NOT NULL CHECK (outcome IN ('triggered', 'skipped', 'refused')),
  trigger_id TEXT NOT NULL,
  why TEXT NOT NULL,
  at_ms BIGINT NOT NULL,
  PRIMARY KEY (tenant, schedule, id)
) {strict_rowless};
CREATE UNIQUE INDEX occurrence_key ON occurrence (tenant, schedule, key) WHERE key <> '';
CREATE INDEX occurrence_age ON occurrence (at_ms);
