-- Work that has no row of its own. A row is due at run_ms: its time, or the end of the lease of whoever claimed it.
-- run_ms NULL: a dead letter, kept for a person to see. token grows with every claim and settlement: only the holder of the
-- newest one may settle the job.
CREATE TABLE job (
  tenant TEXT NOT NULL,
  id TEXT NOT NULL,
  kind TEXT NOT NULL CHECK (kind <> ''),
  payload TEXT NOT NULL,
  run_ms BIGINT,
  token BIGINT NOT NULL DEFAULT 0,
  lease_by TEXT,
  attempts BIGINT NOT NULL DEFAULT 0,
  max_attempts BIGINT NOT NULL CHECK (max_attempts > 0),
  error TEXT,
  created_ms BIGINT NOT NULL,
  PRIMARY KEY (tenant, id)
) {strict_rowless};

CREATE INDEX job_due ON job (run_ms) WHERE run_ms IS NOT NULL;
CREATE INDEX job_dead ON job (tenant, created_ms) WHERE run_ms IS NULL;
