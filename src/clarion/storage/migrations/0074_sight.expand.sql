-- What operators look for: messages, runs and triggers, the newest first, by what most tells them apart.
CREATE INDEX outgoing_time ON outgoing (tenant, created_ms, id);
CREATE INDEX outgoing_workflow ON outgoing (tenant, workflow, created_ms, id);
CREATE INDEX outgoing_status ON outgoing (tenant, status, created_ms, id);
CREATE INDEX outgoing_carrier ON outgoing (tenant, provider, created_ms, id);
CREATE INDEX outgoing_trigger_time ON outgoing (tenant, trigger_id, created_ms, id);
DROP INDEX outgoing_dead;
DROP INDEX outgoing_provider;
-- Without a user: all of a tenant. It grows at one end.
CREATE INDEX message_time ON message (tenant, created_ms, id, usr);
CREATE INDEX trigger_call_workflow ON trigger_call (tenant, workflow, created_ms, id);
CREATE INDEX run_of_user ON run (tenant, usr, created_ms, id);
DROP INDEX run_usr;
CREATE INDEX run_failed ON run (tenant, created_ms, id) WHERE status = 'failed';
