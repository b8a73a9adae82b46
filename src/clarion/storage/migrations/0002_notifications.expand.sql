-- Notifications: whom they can reach, what was asked for, what everybody got, and the log of every inbox.

CREATE TABLE subscriber (
  tenant TEXT NOT NULL,
  id TEXT NOT NULL CHECK (id <> ''),
  -- In the columns below '' says: not known.
  name TEXT NOT NULL,
  email TEXT NOT NULL,
  locale TEXT NOT NULL,
  time_zone TEXT NOT NULL,
  attributes TEXT NOT NULL,
  created_ms BIGINT NOT NULL,
  updated_ms BIGINT NOT NULL,
  PRIMARY KEY (tenant, id)
) {strict_rowless};

CREATE TABLE notification (
  tenant TEXT NOT NULL,
  id TEXT NOT NULL CHECK (id <> ''),
  sender TEXT NOT NULL,
  title TEXT NOT NULL,
  body TEXT NOT NULL,
  data TEXT NOT NULL,
  action_url TEXT NOT NULL,
  recipients BIGINT NOT NULL,
  created_ms BIGINT NOT NULL,
  PRIMARY KEY (tenant, id)
) {strict_rowless};

-- `seq` is the offset of the change that brought the message: it orders a user's messages, and a page is one range of the key.
CREATE TABLE message (
  tenant TEXT NOT NULL,
  usr TEXT NOT NULL,
  seq BIGINT NOT NULL,
  id TEXT NOT NULL CHECK (id <> ''),
  notification TEXT NOT NULL,
  created_ms BIGINT NOT NULL,
  read_ms BIGINT,
  archived_ms BIGINT,
  PRIMARY KEY (tenant, usr, seq)
) {strict_rowless};
CREATE UNIQUE INDEX message_id ON message (tenant, usr, id);
CREATE INDEX message_unread ON message (tenant, usr, seq) WHERE read_ms IS NULL AND archived_ms IS NULL;

-- One row per user who ever got something: the newest position of the log, and the number that a badge shows.
CREATE TABLE inbox_head (
  tenant TEXT NOT NULL,
  usr TEXT NOT NULL,
  epoch TEXT NOT NULL,
  top BIGINT NOT NULL,
  mark BIGINT NOT NULL CHECK (mark BETWEEN 0 AND 4294967295),
  unread BIGINT NOT NULL CHECK (unread >= 0),
  PRIMARY KEY (tenant, usr)
) {strict_rowless};

-- The log: offsets without a gap; `prior` is the mark before the change, so that a trimmed edge can be checked. `carries` is the
-- message that subscribers are given whole with the change, '' where they know all that it touches.
CREATE TABLE inbox_change (
  tenant TEXT NOT NULL,
  usr TEXT NOT NULL,
  off BIGINT NOT NULL,
  mark BIGINT NOT NULL,
  prior BIGINT NOT NULL,
  event TEXT NOT NULL,
  carries TEXT NOT NULL,
  data TEXT NOT NULL,
  unread BIGINT NOT NULL,
  at_ms BIGINT NOT NULL,
  PRIMARY KEY (tenant, usr, off)
) {strict_rowless};

-- One row per call that named an Idempotency-Key: `subject` is the id of what the first such call made.
CREATE TABLE idempotency (
  tenant TEXT NOT NULL,
  caller TEXT NOT NULL,
  route TEXT NOT NULL,
  idem_key TEXT NOT NULL CHECK (idem_key <> ''),
  digest TEXT NOT NULL,
  subject TEXT NOT NULL,
  answer TEXT NOT NULL,
  created_ms BIGINT NOT NULL,
  PRIMARY KEY (tenant, caller, route, idem_key)
) {strict_rowless};
CREATE INDEX idempotency_age ON idempotency (created_ms);
