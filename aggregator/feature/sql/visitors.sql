-- What holds for a visitor as a whole: times, the cart, the latest attributes.
SELECT
    visitor,
    toUnixTimestamp64Milli(min(first_seen)) AS first_ms,
    toUnixTimestamp64Milli(max(last_seen)) AS last_ms,
    toUnixTimestamp64Milli(max(last_cart)) AS cart_ms,
    toUnixTimestamp64Milli(max(visitor_since)) AS since_ms,
    toFloat64(argMaxMerge(cart_value)) AS cart,
    argMaxMerge(country) AS country_last,
    argMaxMerge(region) AS region_last,
    argMaxMerge(device) AS device_last,
    argMaxMerge(browser) AS browser_last,
    argMaxMerge(os) AS os_last,
    argMaxMerge(referrer) AS referrer_last,
    argMaxMerge(utm_source) AS utm_source_last,
    argMaxMerge(utm_medium) AS utm_medium_last,
    argMaxMerge(utm_campaign) AS utm_campaign_last
FROM {database}.visitor_activity
WHERE site = ? AND visitor IN ({visitors})
GROUP BY visitor
SETTINGS max_threads = 1
