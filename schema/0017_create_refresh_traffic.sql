-- Idempotent: yes. Rewrites data: no. Safe while the collector runs: yes.
-- Counts the quarter hours that were touched since they were last counted. The ten minutes are for an
-- insert that was marked before a refresh and became visible after it; the mark is the later part
-- of an insert, so it is never seen before its events.
CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.refresh_traffic{cluster}
REFRESH EVERY 1 MINUTE APPEND TO {database}.traffic AS
WITH due AS
(
    SELECT t.site AS site, t.environment AS environment, t.bucket AS bucket
    FROM
    (
        SELECT site, environment, bucket, max(touched_at) AS touched
        FROM {database}.traffic_touched
        GROUP BY site, environment, bucket
    ) AS t
    LEFT JOIN
    (
        SELECT site, environment, bucket, max(built_at) AS built
        FROM {database}.traffic
        WHERE (site, environment, bucket) IN (SELECT site, environment, bucket FROM {database}.traffic_touched)
        GROUP BY site, environment, bucket
    ) AS b ON t.site = b.site AND t.environment = b.environment AND t.bucket = b.bucket
    WHERE t.touched + INTERVAL 10 MINUTE > b.built
)
SELECT
    e.site AS site,
    e.environment AS environment,
    toStartOfFifteenMinutes(e.occurred_at) AS bucket,
    e.lane AS lane,
    uniqExactIf(e.event_id, e.bot = 0) AS events,
    uniqExactIf(e.event_id, e.bot = 0 AND e.kind = 'page_view') AS pageviews,
    uniqExactIf(e.event_id, e.bot = 0 AND e.kind = 'product_view') AS product_views,
    uniqExactIf(e.event_id, e.bot = 0 AND e.kind = 'cart_add') AS cart_adds,
    uniqExactIf(e.event_id, e.bot = 0 AND e.kind = 'checkout_start') AS checkout_starts,
    uniqExactIf(e.event_id, e.bot = 0 AND e.kind = 'purchase') AS purchases,
    uniqExactIf(e.visitor, e.bot = 0 AND e.visitor != toFixedString('', 16)) AS visitors,
    uniqExactIf(e.session, e.bot = 0 AND e.session != toFixedString('', 16)) AS sessions,
    uniqExactIf(e.event_id, e.bot = 1) AS bot_events,
    now('UTC') AS built_at,
    max(e.expires) AS expires
FROM {database}.events AS e
WHERE e.kind != 'consent'
    AND (e.site, toDate(e.occurred_at)) IN (SELECT site, toDate(bucket) FROM due)
    AND (e.site, e.environment, toStartOfFifteenMinutes(e.occurred_at)) IN (SELECT site, environment, bucket FROM due)
GROUP BY site, environment, bucket, lane
