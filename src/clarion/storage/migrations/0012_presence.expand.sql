-- Presence that outlives connections: when users were here, who may see that they are, and whom they know.

-- seen_ms: connected then. active_ms: the last time that they did something.
CREATE TABLE presence_seen (
  tenant TEXT NOT NULL,
  id TEXT {bytewise} NOT NULL CHECK (id <> ''),
  seen_ms BIGINT NOT NULL,
  active_ms BIGINT NOT NULL,
  PRIMARY KEY (tenant, id)
) {strict_rowless};
CREATE INDEX presence_seen_age ON presence_seen (seen_ms);

-- Of users who have chosen. 0: everyone, 1: contacts, 2: nobody.
CREATE TABLE presence_visibility (
  tenant TEXT NOT NULL,
  id TEXT {bytewise} NOT NULL CHECK (id <> ''),
  visibility BIGINT NOT NULL CHECK (visibility BETWEEN 0 AND 2),
  PRIMARY KEY (tenant, id)
) {strict_rowless};

-- `id` knows `contact`; whether that one knows `id` is another row.
CREATE TABLE presence_contact (
  tenant TEXT NOT NULL,
  id TEXT {bytewise} NOT NULL CHECK (id <> ''),
  contact TEXT {bytewise} NOT NULL CHECK (contact <> ''),
  PRIMARY KEY (tenant, id, contact)
) {strict_rowless};
