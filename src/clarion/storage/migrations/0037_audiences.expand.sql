-- Audiences, and whom a trigger is for.

-- `filter`: the condition that its people satisfy beside those who were put in, '' for none.
CREATE TABLE audience (
  tenant TEXT NOT NULL,
  audience TEXT NOT NULL CHECK (audience <> ''),
  name TEXT NOT NULL,
  filter TEXT NOT NULL,
  created_ms BIGINT NOT NULL,
  updated_ms BIGINT NOT NULL,
  PRIMARY KEY (tenant, audience)
) {strict_rowless};

CREATE TABLE audience_member (
  tenant TEXT NOT NULL,
  audience TEXT NOT NULL,
  usr TEXT NOT NULL,
  added_ms BIGINT NOT NULL,
  PRIMARY KEY (tenant, audience, usr)
) {strict_rowless};
CREATE INDEX audience_member_usr ON audience_member (tenant, usr);

-- Whose people are people of the audience, too.
CREATE TABLE audience_child (
  tenant TEXT NOT NULL,
  audience TEXT NOT NULL,
  child TEXT NOT NULL,
  PRIMARY KEY (tenant, audience, child)
) {strict_rowless};
CREATE INDEX audience_child_child ON audience_child (tenant, child);

-- Whom a trigger names that is given more of them than a call has room for.
CREATE TABLE trigger_recipient (
  tenant TEXT NOT NULL,
  trigger_id TEXT NOT NULL,
  usr TEXT NOT NULL,
  PRIMARY KEY (tenant, trigger_id, usr)
) {strict_rowless};

-- Behind whom planning goes on. hold: '' for nothing, paused, or receiving: those whom it names are still coming in.
ALTER TABLE trigger_call ADD COLUMN upto TEXT NOT NULL DEFAULT '';
ALTER TABLE trigger_call ADD COLUMN hold TEXT NOT NULL DEFAULT '';
