-- Idempotent: yes. Rewrites data: no. Safe while the collector runs: yes.
-- For big sites: the days are chosen before repeats are absorbed. Ids are bytes here; hex() shows them.
-- As in v_events_all the shop's row stands for a browser's of the same id, when both are of these days.
-- SELECT kind, count() FROM v_events_between(site = 'demo', since = '2026-11-01', until = '2026-11-07') GROUP BY kind
CREATE OR REPLACE VIEW {database}.v_events_between{cluster}
AS
SELECT *
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
COMMENT 'Production events of one site and some days (UTC, both included), each id once; columns as in events'
