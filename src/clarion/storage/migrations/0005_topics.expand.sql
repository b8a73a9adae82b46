-- Topics that have no rows of their own. `topic` is its name, kind:name. Whoever holds a head is alone in that topic.

-- One row per topic that somebody uses: the newest position of its log, how much is kept, and what there is to be tidied.
CREATE TABLE topic_head (
  tenant TEXT NOT NULL,
  topic TEXT NOT NULL,
  epoch TEXT NOT NULL,
  top BIGINT NOT NULL,
  mark BIGINT NOT NULL CHECK (mark BETWEEN 0 AND 4294967295),
  -- Entries up to this offset were removed.
  trimmed BIGINT NOT NULL CHECK (trimmed BETWEEN 0 AND top),
  -- Rows of topic_item, those that are gone but keep their version included.
  items BIGINT NOT NULL CHECK (items >= 0),
  keep_size BIGINT NOT NULL,
  keep_ms BIGINT NOT NULL,
  used_ms BIGINT NOT NULL,
  -- When something may have to be removed; NULL: not before the next change.
  trim_ms BIGINT,
  PRIMARY KEY (tenant, topic)
) {strict_rowless};
CREATE INDEX topic_head_trim ON topic_head (trim_ms) WHERE trim_ms IS NOT NULL;

-- The log: offsets without a gap; `prior` is the mark before the entry. `data`, `tags` and `was` are texts of JSON values.
CREATE TABLE topic_entry (
  tenant TEXT NOT NULL,
  topic TEXT NOT NULL,
  off BIGINT NOT NULL,
  mark BIGINT NOT NULL,
  prior BIGINT NOT NULL,
  event TEXT NOT NULL,
  data TEXT NOT NULL,
  key TEXT,
  tags TEXT,
  was TEXT,
  at_ms BIGINT NOT NULL,
  PRIMARY KEY (tenant, topic, off)
) {strict_rowless};

-- The state of a map. `is_gone`: removed, kept for its version until expires_ms.
CREATE TABLE topic_item (
  tenant TEXT NOT NULL,
  topic TEXT NOT NULL,
  key TEXT {bytewise} NOT NULL,
  data TEXT NOT NULL,
  off BIGINT NOT NULL,
  version BIGINT NOT NULL,
  expires_ms BIGINT,
  tags TEXT,
  is_gone BIGINT NOT NULL,
  PRIMARY KEY (tenant, topic, key)
) {strict_rowless};
CREATE INDEX topic_item_end ON topic_item (expires_ms) WHERE expires_ms IS NOT NULL;

-- Ids that make a change safe to repeat, and the entry that each stands for.
CREATE TABLE topic_id (
  tenant TEXT NOT NULL,
  topic TEXT NOT NULL,
  id TEXT NOT NULL CHECK (id <> ''),
  off BIGINT NOT NULL,
  mark BIGINT NOT NULL,
  at_ms BIGINT NOT NULL,
  PRIMARY KEY (tenant, topic, id)
) {strict_rowless};
CREATE INDEX topic_id_age ON topic_id (at_ms);
