-- Rises with each search that is saved or removed: so every process notices what another one was asked.
ALTER TABLE search_saved_head ADD COLUMN revision BIGINT NOT NULL DEFAULT 0;
