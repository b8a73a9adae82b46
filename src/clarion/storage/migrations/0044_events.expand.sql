-- Events: what people did. One row each, and beside it, in the same transaction, how many there were by the minute, and who did it how often.

-- usr '': without consent, or of nobody: it is counted, and nothing else is known of it. call: names the call that brought the row, so
-- that a call which repeats an id counts nothing.
CREATE TABLE event (
  tenant TEXT NOT NULL,
  id TEXT NOT NULL CHECK (id <> ''),
  usr TEXT NOT NULL,
  name TEXT NOT NULL,
  properties TEXT NOT NULL,
  at_ms BIGINT NOT NULL,
  received_ms BIGINT NOT NULL,
  call BIGINT NOT NULL,
  PRIMARY KEY (tenant, id)
) {strict_rowless};
CREATE INDEX event_usr ON event (tenant, usr, name, received_ms) WHERE usr <> '';
CREATE INDEX event_name ON event (tenant, name, at_ms, usr);
CREATE INDEX event_age ON event (received_ms);

CREATE TABLE event_minute (
  tenant TEXT NOT NULL,
  name TEXT NOT NULL,
  minute_ms BIGINT NOT NULL,
  count BIGINT NOT NULL,
  PRIMARY KEY (tenant, name, minute_ms)
) {strict_rowless};

CREATE TABLE event_person (
  tenant TEXT NOT NULL,
  usr TEXT NOT NULL,
  name TEXT NOT NULL,
  times BIGINT NOT NULL,
  first_ms BIGINT NOT NULL,
  last_ms BIGINT NOT NULL,
  PRIMARY KEY (tenant, usr, name)
) {strict_rowless};
-- Who did it since a time: audiences, and how many people.
CREATE INDEX event_person_last ON event_person (tenant, name, last_ms);
