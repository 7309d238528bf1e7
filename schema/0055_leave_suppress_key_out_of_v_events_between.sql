-- Idempotent: yes. Rewrites data: no. Safe while the collector runs: yes.
-- As before, without suppress_key, which would name whoever withdrew in the list of the suppressed, and which no analyst may read.
CREATE OR REPLACE VIEW {database}.v_events_between{cluster}
AS
SELECT * EXCEPT (suppress_key)
FROM {database}.events
WHERE site = {site:String}
    AND toDate(occurred_at) BETWEEN {since:Date} AND {until:Date}
    AND environment = 'production'
    AND expires > today()
    AND NOT (source IN ('pixel', 'beacon') AND event_id IN (
        SELECT event_id
        FROM {database}.events
        WHERE site = {site:String}
            AND toDate(occurred_at) BETWEEN {since:Date} AND {until:Date}
            AND environment = 'production'
            AND source IN ('server', 'import')
            AND expires > today()))
LIMIT 1 BY site, event_id
COMMENT 'Production events of one site and some days (UTC, both included), each id once; columns as in events, but suppress_key'
