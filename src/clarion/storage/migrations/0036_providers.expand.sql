-- An attempt may ask several providers, one after the other: each is a row of its own, `part` counts them.
CREATE TABLE attempt_of_provider (
  tenant TEXT NOT NULL,
  message TEXT NOT NULL,
  n BIGINT NOT NULL,
  part BIGINT NOT NULL DEFAULT 0,
  provider TEXT NOT NULL,
  outcome TEXT NOT NULL,
  answer TEXT NOT NULL,
  at_ms BIGINT NOT NULL,
  took_ms BIGINT NOT NULL,
  PRIMARY KEY (tenant, message, n, part)
) {strict_rowless};
INSERT INTO attempt_of_provider (tenant, message, n, provider, outcome, answer, at_ms, took_ms)
  SELECT tenant, message, n, provider, outcome, answer, at_ms, took_ms FROM attempt;
DROP TABLE attempt;
ALTER TABLE attempt_of_provider RENAME TO attempt;

-- Each channel takes its own messages, so that one that stands still keeps no other waiting.
DROP INDEX outgoing_due;
CREATE INDEX outgoing_due ON outgoing (channel, run_ms) WHERE run_ms IS NOT NULL;
