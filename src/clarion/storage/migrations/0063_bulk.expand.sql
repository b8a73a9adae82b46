-- Bulk sends and imports while they go on.

-- How many recipients there are about, as far as the database could count them before they were read; NULL: not known.
ALTER TABLE trigger_call ADD COLUMN expected BIGINT;

-- What has become of the messages of a trigger is counted, and told in the order of their ids.
CREATE INDEX outgoing_of_trigger ON outgoing (tenant, trigger_id, status, id);
DROP INDEX outgoing_trigger;

-- What is known of a recipient that came in by a stream, '' in a column says nothing; line: where it stood.
ALTER TABLE trigger_recipient ADD COLUMN line BIGINT NOT NULL DEFAULT 0;
ALTER TABLE trigger_recipient ADD COLUMN described BIGINT NOT NULL DEFAULT 0;
ALTER TABLE trigger_recipient ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE trigger_recipient ADD COLUMN email TEXT NOT NULL DEFAULT '';
ALTER TABLE trigger_recipient ADD COLUMN phone TEXT NOT NULL DEFAULT '';
ALTER TABLE trigger_recipient ADD COLUMN locale TEXT NOT NULL DEFAULT '';
ALTER TABLE trigger_recipient ADD COLUMN time_zone TEXT NOT NULL DEFAULT '';
ALTER TABLE trigger_recipient ADD COLUMN attributes TEXT NOT NULL DEFAULT '';

-- An import: `audience` '' for none. total: its lines; done: those that were looked at, failed: those of them that were not taken.
CREATE TABLE import (
  tenant TEXT NOT NULL,
  id TEXT NOT NULL CHECK (id <> ''),
  audience TEXT NOT NULL,
  media TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('running', 'done', 'cancelled')),
  total BIGINT NOT NULL,
  done BIGINT NOT NULL,
  failed BIGINT NOT NULL,
  created_ms BIGINT NOT NULL,
  ended_ms BIGINT,
  PRIMARY KEY (tenant, id)
) {strict_rowless};
CREATE INDEX import_age ON import (created_ms);

-- What was sent in and not looked at yet. A row whose import never came is a body that broke off: a job removes it.
CREATE TABLE import_part (
  tenant TEXT NOT NULL,
  import TEXT NOT NULL,
  n BIGINT NOT NULL,
  lines TEXT NOT NULL,
  PRIMARY KEY (tenant, import, n)
) {strict_rowless};

-- Lines that were not taken, and why.
CREATE TABLE import_fault (
  tenant TEXT NOT NULL,
  import TEXT NOT NULL,
  line BIGINT NOT NULL,
  reason TEXT NOT NULL,
  text TEXT NOT NULL,
  PRIMARY KEY (tenant, import, line)
) {strict_rowless};
