-- Who follows a collection shows the version of a document as well.
ALTER TABLE search_change ADD COLUMN version BIGINT NOT NULL DEFAULT 0;
