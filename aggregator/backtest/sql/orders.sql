,
    -- Orders as they were known at the look: of the most trusted report until then, less the refunds until then.
    orders_then AS
    (
        SELECT
            o.owner AS visitor,
            l.at AS at,
            minIf(e.occurred_at, e.kind = 'purchase') AS placed_at,
            argMaxIf(
                tuple(e.value_site),
                (multiIf(e.source = 'server', 3, e.source = 'import', 2, 1), e.occurred_at, e.event_id),
                e.kind = 'purchase').1 AS paid,
            groupUniqArrayIf((e.event_id, e.value, e.value_site), e.kind = 'refund') AS refunds,
            if(
                paid IS NULL OR arrayExists(r -> r.2 IS NULL, refunds),
                toDecimal128(0, 4),
                greatest(paid - arraySum(arrayMap(r -> ifNull(r.3, toDecimal128(0, 4)), refunds)), toDecimal128(0, 4))) AS net_site
        FROM {database}.events AS e
        INNER JOIN
        (
            SELECT order_key AS owned_key, argMaxMerge(visitor) AS owner
            FROM {database}.orders
            WHERE site = {site:String} AND order_key IN (
                SELECT arrayJoin(orders)
                FROM {database}.visitor_activity
                WHERE site = {site:String} AND visitor BETWEEN {first} AND {last})
            GROUP BY order_key
        ) AS o ON e.order_key = o.owned_key
        INNER JOIN looks AS l ON o.owner = l.look_visitor
        WHERE e.site = {site:String} AND e.bot = 0 AND e.kind IN ('purchase', 'refund') AND e.occurred_at <= l.at
        GROUP BY o.owner, l.at, e.order_key
        HAVING countIf(e.kind = 'purchase') > 0
    ),
    order_features AS
    (
        SELECT visitor, at, {order_features}
        FROM orders_then
        GROUP BY visitor, at
    )
