-- Follows: whose streams somebody's timeline is made of.

-- Whoever holds this row is alone in what the user follows.
CREATE TABLE activity_follower (
  tenant TEXT NOT NULL,
  usr TEXT {bytewise} NOT NULL,
  follows BIGINT NOT NULL CHECK (follows >= 0),
  PRIMARY KEY (tenant, usr)
) {strict_rowless};

CREATE TABLE activity_follow (
  tenant TEXT NOT NULL,
  usr TEXT {bytewise} NOT NULL,
  stream TEXT {bytewise} NOT NULL,
  since_ms BIGINT NOT NULL,
  PRIMARY KEY (tenant, usr, stream)
) {strict_rowless};
