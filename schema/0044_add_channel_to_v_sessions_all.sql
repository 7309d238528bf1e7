-- Idempotent: yes. Rewrites data: no. Safe while the collector runs: yes.
-- As before, and channel. The same words are in report_funnel_daily, which a test holds against this one.
CREATE OR REPLACE VIEW {database}.v_sessions_all{cluster}
(
    site            LowCardinality(String) COMMENT 'Site id',
    environment     LowCardinality(String) COMMENT 'production, staging ... of sites.yaml',
    session         String COMMENT 'Session, 32 hexadecimal digits',
    visitor         String COMMENT 'Visitor, 32 hexadecimal digits',
    started_at      DateTime64(3, 'UTC') COMMENT 'First event',
    ended_at        DateTime64(3, 'UTC') COMMENT 'Last event',
    seconds         UInt32 COMMENT 'From the first to the last event; 0 = a single event',
    events          UInt64 COMMENT 'Events, each id once',
    pageviews       UInt64 COMMENT 'Pages viewed',
    product_views   UInt64 COMMENT 'Product pages viewed',
    cart_adds       UInt64 COMMENT 'Additions to the cart',
    checkout_starts UInt64 COMMENT 'Checkouts begun',
    orders          UInt64 COMMENT 'Orders placed',
    entry_path      String COMMENT 'Path of the first page',
    exit_path       String COMMENT 'Path of the last page',
    referrer        String COMMENT 'Host that the visitor came from; empty = none',
    utm_source      String COMMENT 'First utm_source',
    utm_medium      String COMMENT 'First utm_medium',
    utm_campaign    String COMMENT 'First utm_campaign',
    channel         String COMMENT 'Where the session came from, by its first utm_medium, utm_source and referrer: paid, email, affiliate, social, search, campaign (other utm), referral, direct',
    country         String COMMENT 'ISO 3166-1 alpha-2; empty = unknown',
    device          String COMMENT 'desktop, mobile, tablet ...; empty = unknown',
    browser         String COMMENT 'Browser family; empty = unknown',
    os              String COMMENT 'Operating system family; empty = unknown'
)
AS
SELECT
    o.site AS site,
    o.environment AS environment,
    o.session AS session,
    o.visitor AS visitor,
    o.started_at AS started_at,
    o.ended_at AS ended_at,
    o.seconds AS seconds,
    o.events AS events,
    o.pageviews AS pageviews,
    o.product_views AS product_views,
    o.cart_adds AS cart_adds,
    o.checkout_starts AS checkout_starts,
    o.orders AS orders,
    o.entry_path AS entry_path,
    o.exit_path AS exit_path,
    o.referrer AS referrer,
    o.utm_source AS utm_source,
    o.utm_medium AS utm_medium,
    o.utm_campaign AS utm_campaign,
    multiIf(
        match(lower(o.utm_medium), '^(cpc|ppc|cpm|cpv|cpa|display|banner|retargeting|paid)'), 'paid',
        match(lower(o.utm_medium), '^(e-?mail|newsletter)') OR match(lower(o.utm_source), '^(e-?mail|newsletter)'), 'email',
        match(lower(o.utm_medium), '^affiliate'), 'affiliate',
        match(lower(o.utm_medium), '^social') OR match(lower(o.utm_source), '(^|\\.)(facebook|instagram|tiktok|pinterest|linkedin|reddit|youtube|snapchat|threads|twitter)(\\.|$)|^(t\\.co|x\\.com)$') OR match(lower(o.referrer), '(^|\\.)(facebook|instagram|tiktok|pinterest|linkedin|reddit|youtube|snapchat|threads|twitter)(\\.|$)|^(t\\.co|x\\.com)$'), 'social',
        lower(o.utm_medium) = 'organic' OR match(lower(o.referrer), '(^|\\.)(google|bing|duckduckgo|yahoo|ecosia|baidu|yandex|qwant|startpage|kagi)\\.|^search\\.brave\\.com$'), 'search',
        lower(o.utm_medium) != '' OR lower(o.utm_source) != '', 'campaign',
        lower(o.referrer) != '', 'referral',
        'direct') AS channel,
    o.country AS country,
    o.device AS device,
    o.browser AS browser,
    o.os AS os
FROM
(
    SELECT
        s.site AS site,
        max(s.environment) AS environment,
        lower(hex(s.session)) AS session,
        if(max(s.visitor) = toFixedString('', 16), '', lower(hex(max(s.visitor)))) AS visitor,
        min(s.started_at) AS started_at,
        max(s.ended_at) AS ended_at,
        toUInt32(least(greatest(dateDiff('second', min(s.started_at), max(s.ended_at)), 0), 4294967295)) AS seconds,
        length(groupUniqArrayArray(s.events)) AS events,
        arrayCount(x -> bitAnd(x, 7) = 1, groupUniqArrayArray(s.events)) AS pageviews,
        arrayCount(x -> bitAnd(x, 7) = 2, groupUniqArrayArray(s.events)) AS product_views,
        arrayCount(x -> bitAnd(x, 7) = 3, groupUniqArrayArray(s.events)) AS cart_adds,
        arrayCount(x -> bitAnd(x, 7) = 4, groupUniqArrayArray(s.events)) AS checkout_starts,
        length(groupUniqArrayArray(s.orders)) AS orders,
        substring(max(s.entry_path), 9) AS entry_path,
        substring(max(s.exit_path), 9) AS exit_path,
        substring(max(s.referrer), 9) AS referrer,
        substring(max(s.utm_source), 9) AS utm_source,
        substring(max(s.utm_medium), 9) AS utm_medium,
        substring(max(s.utm_campaign), 9) AS utm_campaign,
        substring(max(s.country), 9) AS country,
        substring(max(s.device), 9) AS device,
        substring(max(s.browser), 9) AS browser,
        substring(max(s.os), 9) AS os
    FROM {database}.sessions AS s
    WHERE s.expires > today()
    GROUP BY s.site, s.session
    HAVING length(groupUniqArrayArray(s.events)) > 0 -- else somebody consented, and did nothing that we know of
) AS o
COMMENT 'Sessions of visitors in lane decide, without bots, of every environment'
