-- Messages that go by themselves: at a time, or when a later one of the same key takes their place.
ALTER TABLE notification ADD COLUMN expires_ms BIGINT;
ALTER TABLE message ADD COLUMN replace_key TEXT NOT NULL DEFAULT '';

-- Most have neither, and cost nothing here.
CREATE INDEX notification_expiring ON notification (expires_ms) WHERE expires_ms IS NOT NULL;
CREATE UNIQUE INDEX message_key ON message (tenant, usr, replace_key) WHERE replace_key <> '';
