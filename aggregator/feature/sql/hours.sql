-- What each visitor did in each hour: Profile.Hours. The primary key (site, visitor, hour) answers
-- it. {visitors} is a list of FixedString(16) literals. Nobody has 1,000 sessions or products in an
-- hour: what a program makes up beyond that is left out, see maxDistinct.
SELECT
    visitor,
    toUnixTimestamp(hour) AS hour_start,
    uniqExactMerge(pageviews) AS pageviews_n,
    uniqExactMerge(product_views) AS product_views_n,
    uniqExactMerge(cart_adds) AS cart_adds_n,
    uniqExactMerge(checkout_starts) AS checkout_starts_n,
    arrayMap(s -> reinterpretAsUInt64(substring(s, 1, 8)), groupUniqArrayArray(1000)(sessions)) AS session_hashes,
    groupUniqArrayArray(1000)(products) AS product_hashes
FROM {database}.visitor_activity
WHERE site = ? AND visitor IN ({visitors}) AND hour >= ?
GROUP BY visitor, hour
ORDER BY visitor, hour
SETTINGS max_threads = 1
