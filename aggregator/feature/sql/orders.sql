-- Orders linked to these visitors, one row an order, refunds taken off as v_orders does. An order
-- in a currency without a known rate counts, without revenue. {orders} are the keys that activity.sql
-- found, so that orders is read by its primary key.
WITH orders_once AS
(
    SELECT
        argMaxMerge(visitor) AS owner,
        minMerge(placed_at) AS placed,
        ifNull(argMaxMerge(facts).value_site, toDecimal128(0, 4)) AS paid,
        groupUniqArrayArray(refunds) AS refunds_once,
        argMaxMerge(decision) AS from_decision
    FROM {database}.orders
    WHERE site = ? AND order_key IN ({orders})
    GROUP BY order_key
    HAVING max(trust) > 0
)
SELECT
    owner,
    toUnixTimestamp64Milli(placed) AS at_ms,
    toFloat64(if(
        arrayExists(r -> r.amount IS NULL, refunds_once),
        toDecimal128(0, 4),
        greatest(paid - arraySum(arrayMap(r -> ifNull(r.amount_site, toDecimal128(0, 4)), refunds_once)), toDecimal128(0, 4)))) AS revenue,
    from_decision
FROM orders_once
SETTINGS max_threads = 1
