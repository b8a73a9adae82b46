-- Whoever claims goes by tenant and by priority (0: critical, 1: high, 2: normal, 3: low), so that a thousand rows of one keep
-- nobody else's waiting. The id orders what is due at the same moment.
ALTER TABLE job ADD COLUMN priority BIGINT NOT NULL DEFAULT 2 CHECK (priority BETWEEN 0 AND 3);
ALTER TABLE run ADD COLUMN priority BIGINT NOT NULL DEFAULT 2 CHECK (priority BETWEEN 0 AND 3);
ALTER TABLE batch ADD COLUMN priority BIGINT NOT NULL DEFAULT 2 CHECK (priority BETWEEN 0 AND 3);
ALTER TABLE outgoing ADD COLUMN priority BIGINT NOT NULL DEFAULT 2 CHECK (priority BETWEEN 0 AND 3);
ALTER TABLE trigger_call ADD COLUMN priority BIGINT NOT NULL DEFAULT 2 CHECK (priority BETWEEN 0 AND 3);

DROP INDEX job_due;
CREATE INDEX job_due ON job (priority, tenant, run_ms, id) WHERE run_ms IS NOT NULL;
DROP INDEX run_due;
CREATE INDEX run_due ON run (priority, tenant, run_ms, id) WHERE run_ms IS NOT NULL;
DROP INDEX batch_due;
CREATE INDEX batch_due ON batch (priority, tenant, run_ms, id) WHERE run_ms IS NOT NULL;
DROP INDEX outgoing_due;
CREATE INDEX outgoing_due ON outgoing (channel, priority, tenant, run_ms, id) WHERE run_ms IS NOT NULL;
