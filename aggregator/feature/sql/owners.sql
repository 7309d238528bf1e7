-- Whose these orders are. {orders} is a list of (site, order_key) tuples.
SELECT site, argMaxMerge(visitor) AS owner, order_key
FROM {database}.orders
WHERE (site, order_key) IN ({orders})
GROUP BY site, order_key
SETTINGS max_threads = 1
