-- What else a person does with a message: keep it on top, put it off until a time (`snooze_ms`, while it is out of sight), follow it.
ALTER TABLE message ADD COLUMN pinned_ms BIGINT;
ALTER TABLE message ADD COLUMN snooze_ms BIGINT;
ALTER TABLE message ADD COLUMN clicked_ms BIGINT;

-- New messages are in none of these, so that they cost nothing where messages are added.
CREATE INDEX message_due ON message (snooze_ms, tenant, usr, seq) WHERE snooze_ms IS NOT NULL;
CREATE INDEX message_snoozed ON message (tenant, usr, seq) WHERE snooze_ms IS NOT NULL;
CREATE INDEX message_pinned ON message (tenant, usr, seq) WHERE pinned_ms IS NOT NULL;
