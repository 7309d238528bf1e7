-- Idempotent: yes. Rewrites data: no. Safe while the collector runs: yes.
-- Runs inside each insert into events: total functions only, since a view that throws blocks its batch.
-- A consent is no activity. One with a session brings where the visit came from, whose page view stayed in a lower lane:
-- that was before anything in this one, where a session lasts a day at most.
CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.feed_sessions{cluster}
TO {database}.sessions AS
WITH
    -- Bytes that sort as time does, and against it; 1e14 ms keep both positive.
    reverse(reinterpretAsFixedString(toUInt64(100000000000000 + toUnixTimestamp64Milli(e.occurred_at)))) AS later,
    reverse(reinterpretAsFixedString(toUInt64(100000000000000 - toUnixTimestamp64Milli(e.occurred_at) + if(e.kind = 'consent', 86400000, 0)))) AS sooner,
    bitOr(bitShiftLeft(sipHash64(e.event_id), 3), toUInt64(transform(e.kind, ['page_view', 'product_view', 'cart_add', 'checkout_start'], [1, 2, 3, 4], 0))) AS what
SELECT
    e.site AS site,
    e.session AS session,
    max(e.environment) AS environment,
    max(e.visitor) AS visitor,
    min(e.occurred_at) AS started_at,
    max(e.occurred_at) AS ended_at,
    groupUniqArrayIf(what, e.kind != 'consent') AS events,
    groupUniqArrayIf(e.order_key, e.kind = 'purchase' AND e.order_key != toFixedString('', 16)) AS orders,
    maxIf(concat(sooner, e.path), e.path != '') AS entry_path,
    maxIf(concat(later, e.path), e.path != '') AS exit_path,
    maxIf(concat(sooner, e.referrer), e.referrer != '') AS referrer,
    maxIf(concat(sooner, e.utm_source), e.utm_source != '') AS utm_source,
    maxIf(concat(sooner, e.utm_medium), e.utm_medium != '') AS utm_medium,
    maxIf(concat(sooner, e.utm_campaign), e.utm_campaign != '') AS utm_campaign,
    maxIf(concat(sooner, e.country), e.country != '') AS country,
    maxIf(concat(sooner, e.device), e.device != '') AS device,
    maxIf(concat(sooner, e.browser), e.browser != '') AS browser,
    maxIf(concat(sooner, e.os), e.os != '') AS os,
    max(e.expires) AS expires
FROM {database}.events AS e
WHERE e.lane = 'decide' AND e.bot = 0 AND e.session != toFixedString('', 16)
GROUP BY site, session
