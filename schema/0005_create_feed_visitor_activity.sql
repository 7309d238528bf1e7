-- Idempotent: yes. Rewrites data: no. Safe while the collector runs: yes.
-- Runs inside each insert into events: total functions only, since a view that throws blocks its batch.
-- A consent is no activity. One with a session brings where the visit came from, whose page view stayed in a lower lane.
CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.feed_visitor_activity{cluster}
TO {database}.visitor_activity AS
WITH
    -- Bytes that sort as time does; 1e14 ms keep it positive.
    reverse(reinterpretAsFixedString(toUInt64(100000000000000 + toUnixTimestamp64Milli(e.occurred_at)))) AS later,
    bitOr(bitShiftLeft(sipHash64(e.event_id), 3), toUInt64(transform(e.kind, ['page_view', 'product_view', 'cart_add', 'checkout_start'], [1, 2, 3, 4], 0))) AS what
SELECT
    e.site AS site,
    e.visitor AS visitor,
    toStartOfHour(e.occurred_at) AS hour,
    max(e.environment) AS environment,
    groupUniqArrayIf(what, e.kind != 'consent') AS events,
    groupUniqArrayIf(e.session, e.kind != 'consent' AND e.session != toFixedString('', 16)) AS sessions,
    groupUniqArrayIf(sipHash64(e.product), e.kind = 'product_view' AND e.product != '') AS products,
    groupUniqArrayIf(e.order_key, e.kind = 'purchase' AND e.order_key != toFixedString('', 16)) AS orders,
    min(e.occurred_at) AS first_seen,
    max(e.occurred_at) AS last_seen,
    maxIf(e.occurred_at, e.kind IN ('cart_add', 'checkout_start')) AS last_cart,
    max(e.visitor_since) AS visitor_since,
    maxIf(
        concat(later, e.event_id, if(e.kind = 'purchase', '0', toString(assumeNotNull(e.cart_value_site)))),
        e.kind = 'purchase' OR e.cart_value_site IS NOT NULL) AS cart_value,
    maxIf(concat(later, e.country), e.country != '') AS country,
    maxIf(concat(later, e.region), e.region != '') AS region,
    maxIf(concat(later, e.device), e.device != '') AS device,
    maxIf(concat(later, e.browser), e.browser != '') AS browser,
    maxIf(concat(later, e.os), e.os != '') AS os,
    maxIf(concat(later, e.referrer), e.referrer != '') AS referrer,
    maxIf(concat(later, e.utm_source), e.utm_source != '') AS utm_source,
    maxIf(concat(later, e.utm_medium), e.utm_medium != '') AS utm_medium,
    maxIf(concat(later, e.utm_campaign), e.utm_campaign != '') AS utm_campaign,
    max(e.profile_expires) AS expires
FROM {database}.events AS e
WHERE e.lane = 'decide' AND e.bot = 0 AND (e.kind != 'consent' OR e.session != toFixedString('', 16)) AND e.visitor != toFixedString('', 16)
GROUP BY site, visitor, hour
