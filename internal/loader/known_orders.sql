-- Which of these orders are there, of a visitor who has not said no since. An order whose visitor is unknown came
-- with a consent of its own.
WITH found AS
(
    SELECT order_key, argMaxMerge(visitor) AS owner
    FROM {database}.orders
    WHERE site = ? AND order_key IN ({keys}) AND expires > today()
    GROUP BY order_key
)
SELECT order_key
FROM found
WHERE owner NOT IN (
    SELECT visitor
    FROM {database}.consents
    WHERE site = ? AND visitor IN (SELECT owner FROM found) AND choice != 'decide')
