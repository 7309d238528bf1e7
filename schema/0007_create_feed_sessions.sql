-- Idempotent: yes. Rewrites data: no. Safe while the collector runs: yes.
-- Runs inside each insert into events: total functions only, since a view that throws blocks its batch.
CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.feed_sessions{cluster}
TO {database}.sessions AS
SELECT
    e.site AS site,
    e.session AS session,
    max(e.environment) AS environment,
    max(e.visitor) AS visitor,
    min(e.occurred_at) AS started_at,
    max(e.occurred_at) AS ended_at,
    uniqExactState(e.event_id) AS events,
    uniqExactStateIf(e.event_id, e.kind = 'page_view') AS pageviews,
    uniqExactStateIf(e.event_id, e.kind = 'product_view') AS product_views,
    uniqExactStateIf(e.event_id, e.kind = 'cart_add') AS cart_adds,
    uniqExactStateIf(e.event_id, e.kind = 'checkout_start') AS checkout_starts,
    groupUniqArrayIf(e.order_key, e.kind = 'purchase' AND e.order_key != toFixedString('', 16)) AS orders,
    argMinStateIf(e.path, (e.occurred_at, e.event_id), e.path != '') AS entry_path,
    argMaxStateIf(e.path, (e.occurred_at, e.event_id), e.path != '') AS exit_path,
    argMinStateIf(e.referrer, (e.occurred_at, e.event_id), e.referrer != '') AS referrer,
    argMinStateIf(e.utm_source, (e.occurred_at, e.event_id), e.utm_source != '') AS utm_source,
    argMinStateIf(e.utm_medium, (e.occurred_at, e.event_id), e.utm_medium != '') AS utm_medium,
    argMinStateIf(e.utm_campaign, (e.occurred_at, e.event_id), e.utm_campaign != '') AS utm_campaign,
    argMinStateIf(e.country, (e.occurred_at, e.event_id), e.country != '') AS country,
    argMinStateIf(e.device, (e.occurred_at, e.event_id), e.device != '') AS device,
    argMinStateIf(e.browser, (e.occurred_at, e.event_id), e.browser != '') AS browser,
    argMinStateIf(e.os, (e.occurred_at, e.event_id), e.os != '') AS os,
    max(e.expires) AS expires
FROM {database}.events AS e
WHERE e.lane = 'decide' AND e.bot = 0 AND e.kind != 'consent' AND e.session != toFixedString('', 16)
GROUP BY site, session
