-- Idempotent: yes. Rewrites data: no. Safe while the collector runs: yes.
-- As before, and each column explained.
-- SELECT * FROM report_traffic(site = 'demo', timezone = 'Europe/Berlin', since = '2026-11-01', until = '2026-11-30') ORDER BY day
-- As before, and sessions_estimated: visits of lane measure, which has no session ids. One begins with an event before which
-- its visitor was not seen for half an hour. The ids of that lane end with the UTC day, and so do its visits.
CREATE OR REPLACE VIEW {database}.report_traffic{cluster}
(
    day                Date COMMENT 'Day in the given time zone',
    pageviews          UInt64 COMMENT 'page_view events of people in every lane, counted anew every minute',
    product_views      UInt64 COMMENT 'product_view events, likewise',
    cart_adds          UInt64 COMMENT 'cart_add events, likewise',
    checkout_starts    UInt64 COMMENT 'checkout_start events, likewise',
    visitors           UInt64 COMMENT 'Different visitors of lane decide; of several days they do not add up',
    visitors_estimated UInt64 COMMENT 'Different ids of lane measure: many people can share one, and one who goes on after midnight UTC has two',
    sessions           UInt64 COMMENT 'Different sessions of lane decide with an event on that day',
    sessions_estimated UInt64 COMMENT 'Visits of lane measure that began on that day, after half an hour in which their id was not seen',
    orders             UInt64 COMMENT 'Orders placed on that day, each once, whoever reported it',
    net_site           Decimal(38, 4) COMMENT 'Their value less refunds, in the currency of the site',
    unconverted        UInt64 COMMENT 'Amounts left out of net_site, as their currency has no known rate',
    bot_events         UInt64 COMMENT 'Events of known programs, in no other column'
)
AS
SELECT
    day,
    sum(pageviews) AS pageviews,
    sum(product_views) AS product_views,
    sum(cart_adds) AS cart_adds,
    sum(checkout_starts) AS checkout_starts,
    sum(visitors) AS visitors,
    sum(visitors_estimated) AS visitors_estimated,
    sum(sessions) AS sessions,
    sum(sessions_estimated) AS sessions_estimated,
    sum(orders) AS orders,
    sum(net_site) AS net_site,
    sum(unconverted) AS unconverted,
    sum(bot_events) AS bot_events
FROM
(
    SELECT
        toDate(t.bucket, {timezone:String}) AS day,
        sum(t.pageviews) AS pageviews,
        sum(t.product_views) AS product_views,
        sum(t.cart_adds) AS cart_adds,
        sum(t.checkout_starts) AS checkout_starts,
        toUInt64(0) AS visitors,
        toUInt64(0) AS visitors_estimated,
        toUInt64(0) AS sessions,
        toUInt64(0) AS sessions_estimated,
        toUInt64(0) AS orders,
        toDecimal128(0, 4) AS net_site,
        toUInt64(0) AS unconverted,
        sum(t.bot_events) AS bot_events
    FROM {database}.traffic AS t FINAL
    WHERE t.site = {site:String} AND t.environment = 'production' AND t.expires > today()
        AND toDate(t.bucket, {timezone:String}) BETWEEN {since:Date} AND {until:Date}
    GROUP BY day
    UNION ALL
    SELECT
        toDate(e.occurred_at, {timezone:String}) AS day,
        0, 0, 0, 0,
        uniqExactIf(e.visitor, e.lane = 'decide'),
        uniqExactIf(e.visitor, e.lane = 'measure'),
        uniqExactIf(e.session, e.session != toFixedString('', 16)),
        0, 0, 0, 0, 0
    FROM {database}.events AS e
    WHERE e.site = {site:String} AND e.environment = 'production' AND e.expires > today()
        AND e.bot = 0 AND e.kind != 'consent' AND e.visitor != toFixedString('', 16)
        AND toDate(e.occurred_at) BETWEEN {since:Date} - 1 AND {until:Date} + 1
        AND toDate(e.occurred_at, {timezone:String}) BETWEEN {since:Date} AND {until:Date}
    GROUP BY day
    UNION ALL
    SELECT
        toDate(m.occurred_at, {timezone:String}) AS day,
        0, 0, 0, 0, 0, 0, 0,
        countIf(dateDiff('millisecond', m.before, m.occurred_at) >= 1800000),
        0, 0, 0, 0
    FROM
    (
        SELECT
            e.occurred_at AS occurred_at,
            lagInFrame(e.occurred_at) OVER (PARTITION BY e.visitor ORDER BY e.occurred_at ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS before
        FROM {database}.events AS e
        WHERE e.site = {site:String} AND e.environment = 'production' AND e.expires > today()
            AND e.lane = 'measure' AND e.bot = 0 AND e.kind != 'consent' AND e.visitor != toFixedString('', 16)
            AND toDate(e.occurred_at) BETWEEN {since:Date} - 1 AND {until:Date} + 1
    ) AS m
    WHERE toDate(m.occurred_at, {timezone:String}) BETWEEN {since:Date} AND {until:Date}
    GROUP BY day
    UNION ALL
    SELECT
        toDate(assumeNotNull(o.placed_at), {timezone:String}) AS day,
        0, 0, 0, 0, 0, 0, 0, 0,
        count(),
        sum(ifNull(o.net_site, toDecimal128(0, 4))),
        sum(o.unconverted),
        0
    FROM {database}.v_orders AS o
    WHERE o.site = {site:String} AND o.placed_at IS NOT NULL
        AND toDate(assumeNotNull(o.placed_at), {timezone:String}) BETWEEN {since:Date} AND {until:Date}
    GROUP BY day
)
GROUP BY day
COMMENT 'Production traffic of one site, a row for each day in the given time zone: pageviews, product_views, cart_adds, checkout_starts; visitors and sessions (lane decide), visitors_estimated and sessions_estimated (lane measure); orders and their net_site revenue in the currency of the site; unconverted amounts left out of it; bot_events'
