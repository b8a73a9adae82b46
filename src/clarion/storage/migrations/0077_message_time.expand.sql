-- Narrower: within a millisecond is soon sorted, and a bulk send writes an entry for each of its messages.
DROP INDEX message_time;
CREATE INDEX message_time ON message (tenant, created_ms);
