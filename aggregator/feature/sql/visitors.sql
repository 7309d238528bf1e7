-- What holds for a visitor as a whole: times, the cart, the latest attributes, the keys of orders. A program can
-- make up any number of orders: those of the newest hours come, and one more than are read (maxOrders).
SELECT
    visitor,
    toUnixTimestamp64Milli(min(first_seen)) AS first_ms,
    toUnixTimestamp64Milli(max(last_seen)) AS last_ms,
    toUnixTimestamp64Milli(max(last_cart)) AS cart_ms,
    toUnixTimestamp64Milli(max(visitor_since)) AS since_ms,
    toFloat64(argMaxMerge(cart_value)) AS cart,
    substring(max(country), 9) AS country_last,
    substring(max(region), 9) AS region_last,
    substring(max(device), 9) AS device_last,
    substring(max(browser), 9) AS browser_last,
    substring(max(os), 9) AS os_last,
    substring(max(referrer), 9) AS referrer_last,
    substring(max(utm_source), 9) AS utm_source_last,
    substring(max(utm_medium), 9) AS utm_medium_last,
    substring(max(utm_campaign), 9) AS utm_campaign_last,
    arraySlice(arrayDistinct(arrayFlatten(arrayMap(
        x -> x.2,
        arrayReverseSort(x -> x.1, groupArrayIf((hour, arraySlice(orders, 1, {orders_known})), hour >= ? AND notEmpty(orders)))))), 1, {orders_known}) AS order_keys
FROM {database}.visitor_activity
WHERE site = ? AND visitor IN ({visitors})
GROUP BY visitor
SETTINGS max_threads = 1
