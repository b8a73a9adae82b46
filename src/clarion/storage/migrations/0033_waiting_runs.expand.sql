-- Whether a user has runs that wait for something: asked whenever they read a message.
CREATE INDEX run_waiting ON run (tenant, usr) WHERE wait_key <> '';
