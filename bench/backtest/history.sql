-- Visitors first to first + count, over the last 31 days: one to four sessions each, one to eight events in a session.
INSERT INTO {database}.events
    (site, environment, event_id, kind, source, lane, received_at, occurred_at, visitor, session, visitor_since, country, device, browser, os,
    product, rate, cart_value, value, order_key, expires, profile_expires)
WITH
    cityHash64(v, s, n) AS h,
    ['page_view', 'page_view', 'page_view', 'page_view', 'page_view', 'product_view', 'product_view', 'product_view', 'cart_add', 'cart_add', 'checkout_start', 'search'][h % 12 + 1] AS k
SELECT
    'demo', 'production',
    toFixedString(unhex(concat(hex(h), hex(cityHash64(h)))), 16),
    if(n = 7 AND v % 3 = 0, 'purchase', k) AS kind_of, 'beacon', 'decide',
    at, at,
    sipHash128(v), sipHash128(v, s), toDateTime64(now() - INTERVAL 40 DAY, 3, 'UTC'),
    ['DE', 'AT', 'FR'][v % 3 + 1], ['mobile', 'desktop', 'tablet'][v % 5 % 3 + 1], 'firefox', 'linux',
    if(kind_of = 'product_view', toString(h % 500), ''), 1,
    if(kind_of IN ('cart_add', 'checkout_start'), toDecimal64(h % 200, 4), NULL),
    if(kind_of = 'purchase', toDecimal64(20 + h % 150, 4), NULL),
    if(kind_of = 'purchase', sipHash128(h), toFixedString('', 16)),
    today() + 395, today() + 90
FROM
(
    SELECT v, s, n,
        toDateTime64(now(), 3, 'UTC') - toIntervalSecond(cityHash64(v, s) % 2678400) - toIntervalMillisecond(cityHash64(v, s, n, 1) % 1000) + toIntervalSecond(n * 47) AS at
    FROM
    (
        SELECT v, s, arrayJoin(range(1 + cityHash64(v, s, 3) % 8)) AS n
        FROM (SELECT number AS v, arrayJoin(range(1 + cityHash64(number, 9) % 4)) AS s FROM numbers({first:UInt64}, {count:UInt64}))
    )
)
