-- Buttons of a message (JSON, '' without any), and which of them its owner has pressed: one, once.
ALTER TABLE notification ADD COLUMN actions TEXT NOT NULL DEFAULT '';
ALTER TABLE message ADD COLUMN done TEXT NOT NULL DEFAULT '';
ALTER TABLE message ADD COLUMN done_ms BIGINT;
