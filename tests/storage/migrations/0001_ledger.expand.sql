-- A log with gapless offsets per book: what the store's promises are tried on.
CREATE TABLE ledger_head (
  tenant TEXT NOT NULL, book TEXT NOT NULL, top BIGINT NOT NULL,
  PRIMARY KEY (tenant, book)) {strict_rowless};
CREATE TABLE ledger (
  tenant TEXT NOT NULL, book TEXT NOT NULL, off BIGINT NOT NULL, id TEXT NOT NULL,
  note TEXT NOT NULL CHECK (note <> ''), amount BIGINT, weight DOUBLE PRECISION,
  PRIMARY KEY (tenant, book, off), UNIQUE (tenant, id)) {strict};
-- only: postgresql
CREATE INDEX ledger_note ON ledger (tenant, note);
-- only: sqlite
CREATE INDEX ledger_note ON ledger (tenant, note) WHERE true;
-- both
CREATE INDEX ledger_amount ON ledger (tenant, amount) WHERE amount IS NOT NULL;
