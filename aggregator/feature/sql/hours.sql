-- What each visitor did in each hour: Profile.Hours. The primary key (site, visitor, hour) answers
-- it. {visitors} is a list of their ids as strings. Nobody has 1,000 sessions or products in an
-- hour: what a program makes up beyond that is left out, see maxDistinct.
WITH groupUniqArrayArray(events) AS events_once
SELECT
    visitor,
    toUnixTimestamp(hour) AS hour_start,
    toUInt64(arrayCount(x -> bitAnd(x, 7) = 1, events_once)) AS pageviews_n,
    toUInt64(arrayCount(x -> bitAnd(x, 7) = 2, events_once)) AS product_views_n,
    toUInt64(arrayCount(x -> bitAnd(x, 7) = 3, events_once)) AS cart_adds_n,
    toUInt64(arrayCount(x -> bitAnd(x, 7) = 4, events_once)) AS checkout_starts_n,
    arrayMap(s -> reinterpretAsUInt64(substring(s, 1, 8)), groupUniqArrayArray(1000)(sessions)) AS session_hashes,
    groupUniqArrayArray(1000)(products) AS product_hashes
FROM {database}.visitor_activity
WHERE site = ? AND visitor IN ({visitors}) AND hour >= ?
GROUP BY visitor, hour
ORDER BY visitor, hour
SETTINGS max_threads = 1
