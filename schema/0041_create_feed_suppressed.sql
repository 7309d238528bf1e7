-- Idempotent: yes. Rewrites data: no. Safe while the collector runs: yes.
-- Runs inside each insert into events: total functions only, since a view that throws blocks its batch.
-- 396 days: what is left of the longest cookie, and a day for the clocks.
CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.feed_suppressed{cluster}
TO {database}.suppressed AS
SELECT
    e.site AS site,
    e.suppress_key AS suppress_key,
    if(e.cause = 'opt-out', 'opt-out', 'denied') AS cause,
    e.received_at AS at,
    now64(3, 'UTC') AS added_at,
    toDate(e.received_at) + 396 AS expires
FROM {database}.events AS e
WHERE e.kind = 'consent' AND e.suppress_key != toFixedString('', 16)
