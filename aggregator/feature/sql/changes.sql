-- Who changed in these batches. {batches} is a list of (spool, segment) tuples. A server that
-- reports an order without naming a visitor changes the visitor whom the order belongs to.
SELECT DISTINCT site, visitor FROM
(
    SELECT site, visitor
    FROM {database}.visitor_changes
    WHERE (spool, segment) IN ({batches}) AND visitor != toFixedString('', 16)
    UNION ALL
    SELECT site, argMaxMerge(visitor) AS visitor
    FROM {database}.orders
    WHERE (site, order_key) IN (
        SELECT site, order_key
        FROM {database}.visitor_changes
        WHERE (spool, segment) IN ({batches}) AND visitor = toFixedString('', 16))
    GROUP BY site, order_key
)
WHERE visitor != toFixedString('', 16)
ORDER BY site, visitor
