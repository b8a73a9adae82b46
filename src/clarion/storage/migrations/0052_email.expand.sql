-- Addresses that are not written to. `address` is as it is compared: in lower case, its domain in ASCII.
CREATE TABLE suppression (
  tenant TEXT NOT NULL,
  channel TEXT NOT NULL,
  address TEXT NOT NULL CHECK (address <> ''),
  reason TEXT NOT NULL CHECK (reason IN ('bounce', 'complaint', 'unsubscribe', 'manual')),
  -- For a person: what the provider said, or who did it.
  detail TEXT NOT NULL,
  -- The message that it came from, '' for none.
  message TEXT NOT NULL,
  created_ms BIGINT NOT NULL,
  PRIMARY KEY (tenant, channel, address)
) {strict_rowless};

-- What was told of a message after it was handed over: of each kind one row, however often it was told.
CREATE TABLE message_event (
  tenant TEXT NOT NULL,
  message TEXT NOT NULL,
  kind TEXT NOT NULL,
  first_ms BIGINT NOT NULL,
  last_ms BIGINT NOT NULL,
  count BIGINT NOT NULL,
  -- What was told last: an answer, a link.
  detail TEXT NOT NULL,
  PRIMARY KEY (tenant, message, kind)
) {strict_rowless};
-- A provider speaks of a message by what it calls it, whosever it is.
CREATE INDEX outgoing_provider_id ON outgoing (provider_id) WHERE provider_id <> '';
