-- What became of messages, counted by the hour. Each change of a row says in the same transaction what it adds and takes away, in
-- rows that nobody waits for; now and then they are added up. `bucket`: how long it took, on a scale whose steps are 10 % (its
-- bounds are powers of 1.1 ms); 0: no time at all. `what`: message, or attempt to hand one to a provider.
CREATE TABLE stat_hour (
  tenant TEXT NOT NULL,
  hour_ms BIGINT NOT NULL,
  what TEXT NOT NULL,
  workflow TEXT NOT NULL,
  channel TEXT NOT NULL,
  provider TEXT NOT NULL,
  category TEXT NOT NULL,
  status TEXT NOT NULL,
  bucket BIGINT NOT NULL,
  count BIGINT NOT NULL,
  PRIMARY KEY (tenant, hour_ms, what, workflow, channel, provider, category, status, bucket)
) {strict_rowless};
CREATE INDEX stat_hour_age ON stat_hour (hour_ms);

-- only: sqlite
CREATE TABLE stat_change (
  id INTEGER NOT NULL PRIMARY KEY,
-- only: postgresql
CREATE TABLE stat_change (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
-- both
  tenant TEXT NOT NULL,
  hour_ms BIGINT NOT NULL,
  what TEXT NOT NULL,
  workflow TEXT NOT NULL,
  channel TEXT NOT NULL,
  provider TEXT NOT NULL,
  category TEXT NOT NULL,
  status TEXT NOT NULL,
  bucket BIGINT NOT NULL,
  count BIGINT NOT NULL
) {strict};

-- Whoever changes what is known of a message need not think of numbers: whatever changes it, these see. What is made is counted by
-- whoever makes it, a set at once.
-- only: sqlite
CREATE TRIGGER stat_of_outgoing
AFTER UPDATE OF status, provider, sent_ms, delivered_ms, seen_ms, read_ms, clicked_ms, ended_ms ON outgoing BEGIN
-- only: postgresql
CREATE FUNCTION stat_of_outgoing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
-- both
  INSERT INTO stat_change (tenant, hour_ms, what, workflow, channel, provider, category, status, bucket, count)
  SELECT NEW.tenant, t.at_ms - t.at_ms % 3600000, 'message', NEW.workflow, NEW.channel,
    CASE t.sign WHEN 1 THEN NEW.provider ELSE OLD.provider END, NEW.category, t.status,
    CASE WHEN t.at_ms > NEW.created_ms
      THEN CAST(floor(ln(t.at_ms - NEW.created_ms) / 0.0953101798043249) AS BIGINT) + 1 ELSE 0 END, t.sign
  FROM (SELECT m.status, g.sign, CASE g.sign WHEN 1 THEN m.becomes ELSE m.was END AS at_ms
    FROM (SELECT 'sent' AS status, OLD.sent_ms AS was, NEW.sent_ms AS becomes
      UNION ALL SELECT 'delivered', OLD.delivered_ms, NEW.delivered_ms
      UNION ALL SELECT 'seen', OLD.seen_ms, NEW.seen_ms
      UNION ALL SELECT 'read', OLD.read_ms, NEW.read_ms
      UNION ALL SELECT 'clicked', OLD.clicked_ms, NEW.clicked_ms
      UNION ALL SELECT OLD.status, CASE WHEN OLD.rank >= 30 THEN coalesce(OLD.ended_ms, OLD.created_ms) END,
        CASE WHEN NEW.rank >= 30 AND NEW.status = OLD.status THEN coalesce(NEW.ended_ms, NEW.created_ms) END
      UNION ALL SELECT NEW.status, NULL,
        CASE WHEN NEW.rank >= 30 AND NEW.status <> OLD.status THEN coalesce(NEW.ended_ms, NEW.created_ms) END
    ) AS m CROSS JOIN (SELECT 1 AS sign UNION ALL SELECT -1) AS g
    WHERE m.was IS DISTINCT FROM m.becomes OR OLD.provider <> NEW.provider) AS t
  WHERE t.at_ms IS NOT NULL;
-- only: sqlite
END;
-- only: postgresql
  RETURN NULL;
END $$;
CREATE TRIGGER stat_of_outgoing
AFTER UPDATE OF status, provider, sent_ms, delivered_ms, seen_ms, read_ms, clicked_ms, ended_ms ON outgoing
FOR EACH ROW EXECUTE FUNCTION stat_of_outgoing();
-- both

-- only: sqlite
CREATE TRIGGER stat_of_message AFTER UPDATE OF seen_ms, read_ms, archived_ms ON message BEGIN
-- only: postgresql
CREATE FUNCTION stat_of_message() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
-- both
  INSERT INTO stat_change (tenant, hour_ms, what, workflow, channel, provider, category, status, bucket, count)
  SELECT NEW.tenant, t.at_ms - t.at_ms % 3600000, 'message', n.workflow, 'inbox', '', n.category, t.status,
    CASE WHEN t.at_ms > NEW.created_ms
      THEN CAST(floor(ln(t.at_ms - NEW.created_ms) / 0.0953101798043249) AS BIGINT) + 1 ELSE 0 END, t.sign
  FROM (SELECT m.status, g.sign, CASE g.sign WHEN 1 THEN m.becomes ELSE m.was END AS at_ms
    FROM (SELECT 'seen' AS status, OLD.seen_ms AS was, NEW.seen_ms AS becomes
      UNION ALL SELECT 'read', OLD.read_ms, NEW.read_ms
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
CREATE TRIGGER stat_of_message AFTER UPDATE OF seen_ms, read_ms, archived_ms ON message
FOR EACH ROW EXECUTE FUNCTION stat_of_message();
-- both

-- only: sqlite
CREATE TRIGGER stat_of_attempt AFTER INSERT ON attempt BEGIN
-- only: postgresql
CREATE FUNCTION stat_of_attempt() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
-- both
  INSERT INTO stat_change (tenant, hour_ms, what, workflow, channel, provider, category, status, bucket, count)
  SELECT NEW.tenant, NEW.at_ms - NEW.at_ms % 3600000, 'attempt', o.workflow, o.channel, NEW.provider, o.category, NEW.outcome,
    CASE WHEN NEW.took_ms > 0 THEN CAST(floor(ln(NEW.took_ms) / 0.0953101798043249) AS BIGINT) + 1 ELSE 0 END, 1
  FROM outgoing o WHERE o.tenant = NEW.tenant AND o.id = NEW.message;
-- only: sqlite
END;
-- only: postgresql
  RETURN NULL;
END $$;
CREATE TRIGGER stat_of_attempt AFTER INSERT ON attempt FOR EACH ROW EXECUTE FUNCTION stat_of_attempt();
-- both
