-- Idempotent: yes. Rewrites data: no. Safe while the collector runs: yes.
-- Runs inside each insert into events: total functions only, since a view that throws blocks its batch.
CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.feed_visitor_activity{cluster}
TO {database}.visitor_activity AS
SELECT
    e.site AS site,
    e.visitor AS visitor,
    toStartOfHour(e.occurred_at) AS hour,
    max(e.environment) AS environment,
    uniqExactStateIf(e.event_id, e.kind = 'page_view') AS pageviews,
    uniqExactStateIf(e.event_id, e.kind = 'product_view') AS product_views,
    uniqExactStateIf(e.event_id, e.kind = 'cart_add') AS cart_adds,
    uniqExactStateIf(e.event_id, e.kind = 'checkout_start') AS checkout_starts,
    groupUniqArrayIf(e.session, e.session != toFixedString('', 16)) AS sessions,
    groupUniqArrayIf(sipHash64(e.product), e.kind = 'product_view' AND e.product != '') AS products,
    groupUniqArrayIf(e.order_key, e.kind = 'purchase' AND e.order_key != toFixedString('', 16)) AS orders,
    min(e.occurred_at) AS first_seen,
    max(e.occurred_at) AS last_seen,
    maxIf(e.occurred_at, e.kind IN ('cart_add', 'checkout_start')) AS last_cart,
    max(e.visitor_since) AS visitor_since,
    argMaxStateIf(
        if(e.kind = 'purchase', toDecimal128(0, 4), assumeNotNull(e.cart_value_site)),
        (e.occurred_at, e.event_id),
        e.kind = 'purchase' OR e.cart_value_site IS NOT NULL) AS cart_value,
    argMaxStateIf(e.country, (e.occurred_at, e.event_id), e.country != '') AS country,
    argMaxStateIf(e.region, (e.occurred_at, e.event_id), e.region != '') AS region,
    argMaxStateIf(e.device, (e.occurred_at, e.event_id), e.device != '') AS device,
    argMaxStateIf(e.browser, (e.occurred_at, e.event_id), e.browser != '') AS browser,
    argMaxStateIf(e.os, (e.occurred_at, e.event_id), e.os != '') AS os,
    argMaxStateIf(e.referrer, (e.occurred_at, e.event_id), e.referrer != '') AS referrer,
    argMaxStateIf(e.utm_source, (e.occurred_at, e.event_id), e.utm_source != '') AS utm_source,
    argMaxStateIf(e.utm_medium, (e.occurred_at, e.event_id), e.utm_medium != '') AS utm_medium,
    argMaxStateIf(e.utm_campaign, (e.occurred_at, e.event_id), e.utm_campaign != '') AS utm_campaign,
    max(e.profile_expires) AS expires
FROM {database}.events AS e
WHERE e.lane = 'decide' AND e.bot = 0 AND e.kind != 'consent' AND e.visitor != toFixedString('', 16)
GROUP BY site, visitor, hour
