-- What became of a message of an inbox: the step that made it; when it was put off last, and when it came back from that.
ALTER TABLE notification ADD COLUMN step TEXT NOT NULL DEFAULT '';
ALTER TABLE message ADD COLUMN put_off_ms BIGINT;
ALTER TABLE message ADD COLUMN back_ms BIGINT;

-- As in 0076, and counts what was followed and put off as well.
-- only: sqlite
DROP TRIGGER stat_of_message;
CREATE TRIGGER stat_of_message AFTER UPDATE OF seen_ms, read_ms, clicked_ms, put_off_ms, archived_ms ON message BEGIN
-- only: postgresql
CREATE OR REPLACE FUNCTION stat_of_message() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
-- both
  INSERT INTO stat_change (tenant, hour_ms, what, workflow, channel, provider, category, status, bucket, count)
  SELECT NEW.tenant, t.at_ms - t.at_ms % 3600000, 'message', n.workflow, 'inbox', '', n.category, t.status,
    CASE WHEN t.at_ms > NEW.created_ms
      THEN CAST(floor(ln(t.at_ms - NEW.created_ms) / 0.0953101798043249) AS BIGINT) + 1 ELSE 0 END, t.sign
  FROM (SELECT m.status, g.sign, CASE g.sign WHEN 1 THEN m.becomes ELSE m.was END AS at_ms
    FROM (SELECT 'seen' AS status, OLD.seen_ms AS was, NEW.seen_ms AS becomes
      UNION ALL SELECT 'read', OLD.read_ms, NEW.read_ms
      UNION ALL SELECT 'clicked', OLD.clicked_ms, NEW.clicked_ms
      UNION ALL SELECT 'snoozed', OLD.put_off_ms, NEW.put_off_ms
      UNION ALL SELECT 'archived', OLD.archived_ms, NEW.archived_ms
    ) AS m CROSS JOIN (SELECT 1 AS sign UNION ALL SELECT -1) AS g
    WHERE m.was IS DISTINCT FROM m.becomes) AS t
  JOIN notification n ON n.tenant = NEW.tenant AND n.id = NEW.notification
  WHERE t.at_ms IS NOT NULL;
-- only: sqlite
END;
-- only: postgresql
  RETURN NULL;
END $$;
DROP TRIGGER stat_of_message ON message;
CREATE TRIGGER stat_of_message AFTER UPDATE OF seen_ms, read_ms, clicked_ms, put_off_ms, archived_ms ON message
FOR EACH ROW EXECUTE FUNCTION stat_of_message();
-- both
