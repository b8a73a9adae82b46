-- The run that goes on for all who were collected, '' while it is open, or if nobody was left.
ALTER TABLE batch ADD COLUMN carrier TEXT NOT NULL DEFAULT '';
CREATE INDEX batch_carrier ON batch (tenant, carrier) WHERE carrier <> '';
