-- Accounts: who may sign in, each login with its current refresh token, and the keys of back ends.

CREATE TABLE account (
  tenant TEXT NOT NULL,
  id TEXT NOT NULL CHECK (id <> ''),
  -- '' says: not known.
  name TEXT NOT NULL,
  password TEXT NOT NULL,
  scopes TEXT NOT NULL,
  -- 1: made by --demo, which may give it a new password.
  demo BIGINT NOT NULL CHECK (demo IN (0, 1)),
  created_ms BIGINT NOT NULL,
  PRIMARY KEY (tenant, id)
) {strict_rowless};

-- One row per login (family of tokens). `digest`: of the one refresh token that is good now; `access_ms`: when the last access
-- token ends that was given out; `expires_ms`: when the refresh token does; `ended_ms`: signed out, or a token came twice.
CREATE TABLE login (
  tenant TEXT NOT NULL,
  family TEXT NOT NULL CHECK (family <> ''),
  account TEXT NOT NULL,
  digest TEXT NOT NULL,
  access_ms BIGINT NOT NULL,
  expires_ms BIGINT NOT NULL,
  ended_ms BIGINT,
  created_ms BIGINT NOT NULL,
  -- From here on nothing depends on the row.
  purge_ms BIGINT NOT NULL,
  PRIMARY KEY (tenant, family)
) {strict_rowless};
CREATE INDEX login_purge ON login (purge_ms);
CREATE INDEX login_ended ON login (access_ms) WHERE ended_ms IS NOT NULL;

CREATE TABLE api_key (
  tenant TEXT NOT NULL,
  id TEXT NOT NULL CHECK (id <> ''),
  name TEXT NOT NULL,
  digest TEXT NOT NULL,
  scopes TEXT NOT NULL,
  created_ms BIGINT NOT NULL,
  used_ms BIGINT,
  PRIMARY KEY (tenant, id)
) {strict_rowless};
-- A caller presents a key before anybody knows its tenant.
CREATE UNIQUE INDEX api_key_id ON api_key (id);
