-- What the people of an audience did, a text of a JSON array; '' for whatever they did.
ALTER TABLE audience ADD COLUMN did TEXT NOT NULL DEFAULT '';
