-- The orders of the period, each once, with whose they are, as v_orders has them.
WITH orders_once AS
(
    SELECT
        argMaxMerge(visitor) AS owner,
        minMerge(placed_at) AS placed,
        argMaxMerge(facts) AS facts_once,
        groupUniqArrayArray(refunds) AS refunds_once
    FROM {database}.orders
    WHERE site = {site:String}
    GROUP BY order_key
    HAVING max(trust) > 0 AND placed >= {from:DateTime64(3, 'UTC')} AND placed < {to:DateTime64(3, 'UTC')} AND owner != toFixedString('', 16)
)
SELECT
    owner,
    toUnixTimestamp64Milli(placed) AS placed_ms,
    toFloat64(ifNull(facts_once.value_site, toDecimal128(0, 4))) AS paid,
    toFloat64(if(
        arrayExists(r -> r.amount IS NULL, refunds_once),
        toDecimal128(0, 4),
        greatest(ifNull(facts_once.value_site, toDecimal128(0, 4)) - arraySum(arrayMap(r -> ifNull(r.amount_site, toDecimal128(0, 4)), refunds_once)), toDecimal128(0, 4)))) AS net,
    toFloat64(ifNull(facts_once.shipping, toDecimal64(0, 4))) * if(ifNull(facts_once.value, toDecimal64(0, 4)) > 0, paid / toFloat64(assumeNotNull(facts_once.value)), 1) AS shipping_paid
FROM orders_once
ORDER BY owner, placed
