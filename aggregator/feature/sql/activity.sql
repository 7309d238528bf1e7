-- What visitors did, a row for each hour: folded into Profiles by read.go. {visitors} is a list of their ids as strings.
-- Planning is most of the time of a look-up, and each aggregate function is planned: two queries that grouped these rows
-- cost more than twice as much as this one. FINAL merges the rows of one key; PREWHERE is right with it, since it asks for
-- the key alone, and without it every column of the granule would be read. Nobody has 1,000 sessions, products or orders
-- in an hour: what a program makes up beyond that is left out, see maxDistinct and maxOrders.
SELECT
    visitor,
    toUnixTimestamp(hour) AS hour_start,
    arrayCount(x -> bitAnd(x, 7) = 1, events) AS pageviews,
    arrayCount(x -> bitAnd(x, 7) = 2, events) AS product_views,
    arrayCount(x -> bitAnd(x, 7) = 3, events) AS cart_adds,
    arrayCount(x -> bitAnd(x, 7) = 4, events) AS checkout_starts,
    arraySlice(sessions, 1, 1000),
    arraySlice(products, 1, 1000),
    arraySlice(orders, 1, {orders_known}),
    first_seen, last_seen, last_cart, visitor_since,
    cart_value, country, region, device, browser, os, referrer, utm_source, utm_medium, utm_campaign
FROM {database}.visitor_activity FINAL
PREWHERE site = ? AND visitor IN ({visitors})
SETTINGS max_threads = 1
