-- Where subscribers can be reached: by telephone, and on channels that have addresses of their own.

ALTER TABLE subscriber ADD COLUMN phone TEXT NOT NULL DEFAULT '';

-- One row per address: a device that takes push messages, a chat, … `id` follows from channel and address, so that an address is
-- one person's at a time: who puts it next has it. (An index over the address itself would refuse long ones on PostgreSQL.)
CREATE TABLE address (
  tenant TEXT NOT NULL,
  id TEXT NOT NULL CHECK (id <> ''),
  usr TEXT NOT NULL,
  channel TEXT NOT NULL,
  address TEXT NOT NULL CHECK (address <> ''),
  -- Text of a JSON object: what the channel needs beside the address. '' for nothing.
  data TEXT NOT NULL,
  -- What a person calls it.
  label TEXT NOT NULL,
  created_ms BIGINT NOT NULL,
  updated_ms BIGINT NOT NULL,
  -- When it last took a message, and how often in a row it has not since.
  last_ok_ms BIGINT,
  failures BIGINT NOT NULL DEFAULT 0,
  error TEXT,
  PRIMARY KEY (tenant, id)
) {strict_rowless};
CREATE INDEX address_usr ON address (tenant, usr, channel);
