-- Idempotent: yes. Rewrites data: no. Safe while the collector runs: yes.
CREATE OR REPLACE VIEW {database}.v_visitors_all{cluster}
(
    site            LowCardinality(String) COMMENT 'Site id',
    environment     LowCardinality(String) COMMENT 'production, staging ... of sites.yaml',
    visitor         String COMMENT 'Visitor, 32 hexadecimal digits',
    visitor_since   Nullable(DateTime64(3, 'UTC')) COMMENT 'Creation of the visitor cookie; NULL = unknown',
    first_seen      DateTime64(3, 'UTC') COMMENT 'First event that is still kept',
    last_seen       DateTime64(3, 'UTC') COMMENT 'Last event',
    sessions        UInt64 COMMENT 'Sessions',
    pageviews       UInt64 COMMENT 'Pages viewed',
    product_views   UInt64 COMMENT 'Product pages viewed',
    products        UInt64 COMMENT 'Different products viewed',
    cart_adds       UInt64 COMMENT 'Additions to the cart',
    checkout_starts UInt64 COMMENT 'Checkouts begun',
    orders          UInt64 COMMENT 'Orders placed; their amounts are in v_orders',
    last_cart       Nullable(DateTime64(3, 'UTC')) COMMENT 'Last addition to the cart or checkout; NULL = never',
    cart_value      Decimal(38, 4) COMMENT 'Last known value of the cart in the currency of the site; 0 after a purchase',
    country         String COMMENT 'Last known country; empty = unknown',
    region          String COMMENT 'Last known region; empty = unknown',
    device          String COMMENT 'Last known device class; empty = unknown',
    browser         String COMMENT 'Last known browser family; empty = unknown',
    os              String COMMENT 'Last known operating system family; empty = unknown',
    referrer        String COMMENT 'Last referrer',
    utm_source      String COMMENT 'Last utm_source',
    utm_medium      String COMMENT 'Last utm_medium',
    utm_campaign    String COMMENT 'Last utm_campaign'
)
AS
SELECT
    a.site AS site,
    max(a.environment) AS environment,
    lower(hex(a.visitor)) AS visitor,
    nullIf(max(a.visitor_since), toDateTime64(0, 3, 'UTC')) AS visitor_since,
    min(a.first_seen) AS first_seen,
    max(a.last_seen) AS last_seen,
    length(groupUniqArrayArray(a.sessions)) AS sessions,
    arrayCount(x -> bitAnd(x, 7) = 1, groupUniqArrayArray(a.events)) AS pageviews,
    arrayCount(x -> bitAnd(x, 7) = 2, groupUniqArrayArray(a.events)) AS product_views,
    length(groupUniqArrayArray(a.products)) AS products,
    arrayCount(x -> bitAnd(x, 7) = 3, groupUniqArrayArray(a.events)) AS cart_adds,
    arrayCount(x -> bitAnd(x, 7) = 4, groupUniqArrayArray(a.events)) AS checkout_starts,
    length(groupUniqArrayArray(a.orders)) AS orders,
    nullIf(max(a.last_cart), toDateTime64(0, 3, 'UTC')) AS last_cart,
    toDecimal128OrZero(substring(max(a.cart_value), 25), 4) AS cart_value,
    substring(max(a.country), 9) AS country,
    substring(max(a.region), 9) AS region,
    substring(max(a.device), 9) AS device,
    substring(max(a.browser), 9) AS browser,
    substring(max(a.os), 9) AS os,
    substring(max(a.referrer), 9) AS referrer,
    substring(max(a.utm_source), 9) AS utm_source,
    substring(max(a.utm_medium), 9) AS utm_medium,
    substring(max(a.utm_campaign), 9) AS utm_campaign
FROM {database}.visitor_activity AS a
WHERE a.expires > today()
GROUP BY a.site, a.visitor
COMMENT 'Visitors of lane decide within the profile retention, without bots, of every environment'
