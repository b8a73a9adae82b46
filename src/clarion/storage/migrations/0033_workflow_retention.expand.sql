-- Whether a user has runs that wait for something: asked whenever they read a message.
CREATE INDEX run_waiting ON run (tenant, usr) WHERE wait_key <> '';
-- What has ended, by its age: what retention removes.
CREATE INDEX run_ended ON run (created_ms) WHERE status IN ('done', 'stopped', 'failed', 'cancelled');
CREATE INDEX outgoing_ended ON outgoing (created_ms) WHERE run_ms IS NULL;
CREATE INDEX batch_closed ON batch (opened_ms) WHERE state = 'closed';
