-- Timelines, written out: an index of what followed streams have, kept by jobs. What it lacks is known, and is merged on reading.

-- `written`: every follower's timeline has what was added to the stream up to this offset of its log.
ALTER TABLE activity_stream ADD COLUMN followers BIGINT NOT NULL DEFAULT 0;
ALTER TABLE activity_stream ADD COLUMN written BIGINT NOT NULL DEFAULT 0;
UPDATE activity_stream SET followers = (SELECT count(*) FROM activity_follow f
  WHERE f.tenant = activity_stream.tenant AND f.stream = activity_stream.stream);
CREATE INDEX activity_behind ON activity_stream (tenant, stream) WHERE followers > 0 AND written < top;
CREATE INDEX activity_follow_of ON activity_follow (tenant, stream, usr);

-- `floor_ms`: of what was published later the timeline has everything, 2^53-1: it is not written at all. `wants_ms`: what is published later is
-- written for this user; lower than the floor while a job fills the timeline. `version` counts what is followed and no longer followed.
ALTER TABLE activity_follower ADD COLUMN floor_ms BIGINT NOT NULL DEFAULT 9007199254740991;
ALTER TABLE activity_follower ADD COLUMN wants_ms BIGINT NOT NULL DEFAULT 9007199254740991;
ALTER TABLE activity_follower ADD COLUMN read_ms BIGINT NOT NULL DEFAULT 0;
ALTER TABLE activity_follower ADD COLUMN version BIGINT NOT NULL DEFAULT 0;
CREATE INDEX activity_follower_read ON activity_follower (read_ms) WHERE wants_ms < 9007199254740991;

-- May name what is there no longer, or what was published before the floor.
CREATE TABLE activity_timeline (
  tenant TEXT NOT NULL,
  usr TEXT {bytewise} NOT NULL,
  published_ms BIGINT NOT NULL,
  id TEXT {bytewise} NOT NULL,
  stream TEXT {bytewise} NOT NULL,
  PRIMARY KEY (tenant, usr, published_ms, id, stream)
) {strict_rowless};
