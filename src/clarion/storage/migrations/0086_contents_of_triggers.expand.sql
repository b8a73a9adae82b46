-- What inboxes got of one trigger, for its report.
CREATE INDEX notification_trigger ON notification (tenant, trigger_id) WHERE trigger_id <> '';
