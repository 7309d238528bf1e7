-- Orders linked to these visitors, one row an order, refunds taken off, in the site's currency. An
-- amount without a known rate counts as an order without revenue. The keys come from the visitors'
-- activity, so that orders is read by its primary key.
SELECT
    argMaxMerge(visitor) AS owner,
    toUnixTimestamp64Milli(minMerge(placed_at)) AS at_ms,
    toFloat64(ifNull(argMaxMerge(facts).value_site, 0)) AS paid,
    arrayMap(r -> toFloat64(ifNull(r.amount_site, argMaxMerge(facts).value_site)), groupUniqArrayArray(refunds)) AS refunded
FROM {database}.orders
WHERE site = ? AND order_key IN (
    SELECT arrayJoin(orders)
    FROM {database}.visitor_activity
    WHERE site = ? AND visitor IN ({visitors}) AND hour >= ?)
GROUP BY order_key
HAVING max(trust) > 0
SETTINGS max_threads = 1
