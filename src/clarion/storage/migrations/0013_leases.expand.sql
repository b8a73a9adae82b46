-- Leases by name: who of all nodes does something alone, and until when others leave it to them.
CREATE TABLE lease (
  tenant TEXT NOT NULL,
  name TEXT {bytewise} NOT NULL,
  holder TEXT NOT NULL,
  until_ms BIGINT NOT NULL,
  PRIMARY KEY (tenant, name)
) {strict_rowless};
