-- Activity: streams of what somebody did to what, and the log of every stream.

-- One row per stream that was ever written to: whoever holds it is alone in the stream. `items` is how many activities it has.
CREATE TABLE activity_stream (
  tenant TEXT NOT NULL,
  stream TEXT {bytewise} NOT NULL,
  epoch TEXT NOT NULL,
  top BIGINT NOT NULL,
  mark BIGINT NOT NULL CHECK (mark BETWEEN 0 AND 4294967295),
  items BIGINT NOT NULL CHECK (items >= 0),
  PRIMARY KEY (tenant, stream)
) {strict_rowless};

-- In the order in which a stream is read: a page is one range of the key. `body` is the text of a JSON object.
-- `foreign_id` '': none. It is a name among those that `owner` has given, a user; '': the application.
CREATE TABLE activity (
  tenant TEXT NOT NULL,
  stream TEXT {bytewise} NOT NULL,
  published_ms BIGINT NOT NULL,
  id TEXT {bytewise} NOT NULL CHECK (id <> ''),
  foreign_id TEXT {bytewise} NOT NULL,
  owner TEXT {bytewise} NOT NULL,
  body TEXT NOT NULL,
  updated_ms BIGINT NOT NULL,
  PRIMARY KEY (tenant, stream, published_ms, id)
) {strict_rowless};
CREATE UNIQUE INDEX activity_id ON activity (tenant, stream, id);
CREATE UNIQUE INDEX activity_foreign ON activity (tenant, stream, foreign_id, owner) WHERE foreign_id <> '';
CREATE INDEX activity_age ON activity (published_ms);

-- The log: offsets without a gap. `id` is what the entry is about, `carried` names the activity in the columns behind it, '' where there is
-- none: what was added or changed, or what enters the window because another has left. `items` is how many there are after it.
CREATE TABLE activity_change (
  tenant TEXT NOT NULL,
  stream TEXT {bytewise} NOT NULL,
  off BIGINT NOT NULL,
  mark BIGINT NOT NULL,
  prior BIGINT NOT NULL,
  event TEXT NOT NULL,
  id TEXT NOT NULL,
  carried TEXT NOT NULL,
  published_ms BIGINT NOT NULL,
  foreign_id TEXT NOT NULL,
  body TEXT NOT NULL,
  updated_ms BIGINT NOT NULL,
  items BIGINT NOT NULL,
  at_ms BIGINT NOT NULL,
  PRIMARY KEY (tenant, stream, off)
) {strict_rowless};
