-- Idempotent: yes. Rewrites data: no. Safe while the collector runs: yes.
-- Runs inside each insert into events: total functions only, since a view that throws blocks its batch.
-- today() and not the time of the event: an old segment that arrives late is news all the same.
CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.feed_visitor_changes{cluster}
TO {database}.visitor_changes AS
SELECT
    e.spool AS spool,
    e.segment AS segment,
    e.site AS site,
    e.visitor AS visitor,
    if(e.visitor = toFixedString('', 16), e.order_key, toFixedString('', 16)) AS order_key,
    today() + 3 AS expires
FROM {database}.events AS e
WHERE e.lane = 'decide' AND e.bot = 0 AND (e.kind != 'consent' OR e.session != toFixedString('', 16))
    AND (e.visitor != toFixedString('', 16) OR e.kind IN ('purchase', 'refund') AND e.order_key != toFixedString('', 16))
GROUP BY spool, segment, site, visitor, order_key
