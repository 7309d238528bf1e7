-- Idempotent: yes. Rewrites data: no. Safe while the collector runs: yes.
-- Runs inside each insert into events: total functions only, since a view that throws blocks its batch.
CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.feed_traffic_touched{cluster}
TO {database}.traffic_touched AS
SELECT
    e.site AS site,
    e.environment AS environment,
    toStartOfFifteenMinutes(e.occurred_at) AS bucket,
    now('UTC') AS touched_at,
    today() + 7 AS expires
FROM {database}.events AS e
WHERE e.kind != 'consent'
GROUP BY site, environment, bucket
