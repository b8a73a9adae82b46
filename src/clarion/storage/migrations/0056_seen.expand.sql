-- How many messages nobody has had on the screen yet: a second number beside the unread ones, after every change.
ALTER TABLE inbox_head ADD COLUMN unseen BIGINT NOT NULL DEFAULT 0;
UPDATE inbox_head SET unseen = unread;
ALTER TABLE inbox_change ADD COLUMN unseen BIGINT NOT NULL DEFAULT 0;
UPDATE inbox_change SET unseen = unread;
