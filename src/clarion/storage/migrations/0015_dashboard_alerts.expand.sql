-- Alerts of dashboards: what has become of each since it was defined.
CREATE TABLE dashboard_alert (
  tenant TEXT NOT NULL,
  dashboard TEXT {bytewise} NOT NULL,
  widget TEXT {bytewise} NOT NULL,
  alert TEXT {bytewise} NOT NULL,
  -- 1: what its widget shows is fetched, whether or not somebody watches.
  pulled BIGINT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('ok', 'pending', 'firing')),
  -- Names the newest crossing, and rises: ms since 1970, when it was broken last; 0: never.
  since_ms BIGINT NOT NULL,
  PRIMARY KEY (tenant, dashboard, widget, alert)
) {strict_rowless};

CREATE INDEX dashboard_alert_pulled ON dashboard_alert (tenant, dashboard) WHERE pulled = 1;
