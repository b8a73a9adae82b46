-- Dead letters can be sent again: attempts are counted anew then, and numbered after those that there were.
ALTER TABLE outgoing ADD COLUMN tried BIGINT NOT NULL DEFAULT 0;

-- What a person has done to dead letters. `until_ms`: only those that were dead by then; `idem_key` '' for none.
CREATE TABLE dead_letter_act (
  tenant TEXT NOT NULL,
  id TEXT NOT NULL CHECK (id <> ''),
  who TEXT NOT NULL,
  act TEXT NOT NULL CHECK (act IN ('replay', 'drop')),
  asked TEXT NOT NULL,
  idem_key TEXT NOT NULL,
  until_ms BIGINT NOT NULL,
  count BIGINT NOT NULL,
  is_done BIGINT NOT NULL CHECK (is_done IN (0, 1)),
  PRIMARY KEY (tenant, id)
) {strict_rowless};
CREATE UNIQUE INDEX dead_letter_act_key ON dead_letter_act (tenant, who, idem_key) WHERE idem_key <> '';
CREATE INDEX dead_letter_act_age ON dead_letter_act (until_ms);
