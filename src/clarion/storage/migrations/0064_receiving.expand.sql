-- Of a line that was not taken its number says enough: what was on it is somebody's.
ALTER TABLE import_fault DROP COLUMN text;

-- Whoever is erased is nobody's recipient any longer.
CREATE INDEX trigger_recipient_usr ON trigger_recipient (tenant, usr);
