-- Feeds: who may read a stream, what users have seen of it, and reactions to its activities.

-- Text of a JSON object; '': only whom their tokens let.
ALTER TABLE activity_stream ADD COLUMN readers TEXT NOT NULL DEFAULT '';

-- How far a user has seen and read a stream: the place (time, id) of an activity.
CREATE TABLE activity_mark (
  tenant TEXT NOT NULL,
  stream TEXT {bytewise} NOT NULL,
  usr TEXT {bytewise} NOT NULL,
  seen_ms BIGINT NOT NULL,
  seen_id TEXT {bytewise} NOT NULL,
  read_ms BIGINT NOT NULL,
  read_id TEXT {bytewise} NOT NULL,
  PRIMARY KEY (tenant, stream, usr)
) {strict_rowless};

-- How many users react how: text of a JSON object, '' for none.
ALTER TABLE activity ADD COLUMN reactions TEXT NOT NULL DEFAULT '';
ALTER TABLE activity_change ADD COLUMN reactions TEXT NOT NULL DEFAULT '';

CREATE TABLE activity_reaction (
  tenant TEXT NOT NULL,
  stream TEXT {bytewise} NOT NULL,
  id TEXT {bytewise} NOT NULL,
  kind TEXT {bytewise} NOT NULL,
  usr TEXT {bytewise} NOT NULL,
  published_ms BIGINT NOT NULL,
  at_ms BIGINT NOT NULL,
  PRIMARY KEY (tenant, stream, id, kind, usr)
) {strict_rowless};
-- Reactions go with the activities that get too old.
CREATE INDEX activity_reaction_age ON activity_reaction (published_ms);
