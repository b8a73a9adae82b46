-- Templates: what workflows say, by channel and language. A version never changes; `template` says which is the current one.

CREATE TABLE template_version (
  tenant TEXT NOT NULL,
  template TEXT NOT NULL CHECK (template <> ''),
  version BIGINT NOT NULL,
  definition TEXT NOT NULL,
  digest TEXT NOT NULL,
  author TEXT NOT NULL,
  created_ms BIGINT NOT NULL,
  PRIMARY KEY (tenant, template, version)
) {strict_rowless};

-- A template that was deleted has none here; its versions stay, so that runs that used them can be explained.
CREATE TABLE template (
  tenant TEXT NOT NULL,
  template TEXT NOT NULL CHECK (template <> ''),
  version BIGINT NOT NULL,
  updated_ms BIGINT NOT NULL,
  PRIMARY KEY (tenant, template)
) {strict_rowless};

-- Rises with every change of any template of a tenant: who has read them all at one revision knows whether he still knows them,
-- and two changes that were checked against the same revision cannot both be made.
CREATE TABLE template_book (
  tenant TEXT NOT NULL,
  revision BIGINT NOT NULL,
  PRIMARY KEY (tenant)
) {strict_rowless};
