-- One order for exports and retention, and one for what a person did. Neither is partial: SQLite, told `usr = :usr`, forgets that a
-- condition on usr was an index's own, and would read the whole tenant.
DROP INDEX event_usr;
DROP INDEX event_age;
CREATE INDEX event_person_of ON event (tenant, usr, name, received_ms);
CREATE INDEX event_received ON event (tenant, received_ms, id);
