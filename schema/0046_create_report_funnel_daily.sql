-- Idempotent: yes. Rewrites data: no. Safe while the collector runs: yes.
-- SELECT * FROM report_funnel_daily(site = 'demo', timezone = 'Europe/Berlin', since = '2026-11-01', until = '2026-11-30', k = 50) ORDER BY day, sessions DESC
-- Reads events and not sessions: those are sorted by id, so a few days of a big site would cost all of its years. A session
-- lasts 24 h at most, so two days on each side hold all of its events in any time zone.
-- k-anonymous: a visitor counts in the cell of the first session of the day, so people of cells add up. Cells of fewer than k people
-- become `other`, and if these are together fewer than k, the next larger ones go with them: what a cell hid cannot
-- be had by subtracting. Only the total of a day can be smaller, as in report_traffic. k is at least 10.
CREATE OR REPLACE VIEW {database}.report_funnel_daily{cluster}
(
    day             Date COMMENT 'Day in the given time zone on which the session began',
    channel         String COMMENT 'Where the session came from, as in v_sessions: paid, email, affiliate, social, search, campaign, referral, direct; other = folded',
    device          String COMMENT 'desktop, mobile, tablet ...; empty = unknown; other = folded',
    sessions        UInt64 COMMENT 'Sessions of lane decide, without bots',
    product_views   UInt64 COMMENT 'Of these, sessions with a product page',
    carts           UInt64 COMMENT 'Of these, sessions with something put into the cart',
    checkouts       UInt64 COMMENT 'Of these, sessions in which the checkout was begun',
    purchases       UInt64 COMMENT 'Of these, sessions with a purchase; orders and money are in v_orders',
    folded_sessions UInt64 COMMENT 'Sessions of this row whose channel and device are hidden, as too few people share them: all of an `other` row, else 0'
)
AS
WITH
    visits AS
    (
        SELECT
            e.session AS session,
            max(e.visitor) AS visitor,
            min(e.occurred_at) AS started_at,
            toDate(started_at, {timezone:String}) AS day,
            max(e.kind = 'product_view') AS viewed,
            max(e.kind = 'cart_add') AS carted,
            max(e.kind = 'checkout_start') AS checked_out,
            max(e.kind = 'purchase') AS purchased,
            CAST(argMinIf(e.device, (e.occurred_at, e.event_id), e.device != ''), 'String') AS device,
            lower(argMinIf(e.referrer, (e.kind != 'consent', e.occurred_at, e.event_id), e.referrer != '')) AS referrer,
            lower(argMinIf(e.utm_source, (e.kind != 'consent', e.occurred_at, e.event_id), e.utm_source != '')) AS utm_source,
            lower(argMinIf(e.utm_medium, (e.kind != 'consent', e.occurred_at, e.event_id), e.utm_medium != '')) AS utm_medium
        FROM {database}.events AS e
        WHERE e.site = {site:String} AND e.environment = 'production' AND e.expires > today()
            AND e.lane = 'decide' AND e.bot = 0 AND e.session != toFixedString('', 16)
            AND toDate(e.occurred_at) BETWEEN {since:Date} - 2 AND {until:Date} + 2
        GROUP BY session
        HAVING day BETWEEN {since:Date} AND {until:Date} AND max(e.kind != 'consent')
    ),
    cells AS
    (
        SELECT
            v.day AS day,
            multiIf(
                match(v.utm_medium, '^(cpc|ppc|cpm|cpv|cpa|display|banner|retargeting|paid)'), 'paid',
                match(v.utm_medium, '^(e-?mail|newsletter)') OR match(v.utm_source, '^(e-?mail|newsletter)'), 'email',
                match(v.utm_medium, '^affiliate'), 'affiliate',
                match(v.utm_medium, '^social') OR match(v.utm_source, '(^|\\.)(facebook|instagram|tiktok|pinterest|linkedin|reddit|youtube|snapchat|threads|twitter)(\\.|$)|^(t\\.co|x\\.com)$') OR match(v.referrer, '(^|\\.)(facebook|instagram|tiktok|pinterest|linkedin|reddit|youtube|snapchat|threads|twitter)(\\.|$)|^(t\\.co|x\\.com)$'), 'social',
                v.utm_medium = 'organic' OR match(v.referrer, '(^|\\.)(google|bing|duckduckgo|yahoo|ecosia|baidu|yandex|qwant|startpage|kagi)\\.|^search\\.brave\\.com$'), 'search',
                v.utm_medium != '' OR v.utm_source != '', 'campaign',
                v.referrer != '', 'referral',
                'direct') AS channel,
            v.device AS device,
            count() AS sessions,
            sum(v.viewed) AS product_views,
            sum(v.carted) AS carts,
            sum(v.checked_out) AS checkouts,
            sum(v.purchased) AS purchases,
            sum(v.first_of_day) AS people
        FROM
        (
            SELECT *, row_number() OVER (PARTITION BY day, visitor ORDER BY started_at, session) = 1 AS first_of_day
            FROM visits
        ) AS v
        GROUP BY day, channel, device
    ),
    judged AS
    (
        SELECT
            *,
            sum(people) OVER (PARTITION BY day ORDER BY people, channel, device ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) - people AS smaller,
            people < greatest({k:UInt32}, 10) OR (smaller > 0 AND smaller < greatest({k:UInt32}, 10)) AS folded
        FROM cells
    )
SELECT
    j.day AS day,
    if(j.folded, 'other', j.channel) AS channel,
    if(j.folded, 'other', j.device) AS device,
    sum(j.sessions) AS sessions,
    sum(j.product_views) AS product_views,
    sum(j.carts) AS carts,
    sum(j.checkouts) AS checkouts,
    sum(j.purchases) AS purchases,
    sumIf(j.sessions, j.folded) AS folded_sessions
FROM judged AS j
GROUP BY day, channel, device
COMMENT 'Sessions of one site in production, a row for each day of the given time zone, channel and device: how many saw a product, filled a cart, began the checkout, bought. Cells of fewer than k people (at least 10) are folded into `other`'
