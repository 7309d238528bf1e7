-- Batches of events that are completely in, by the server's clock, the oldest first; the last row,
-- of no spool, is that clock. The first look has no beginning to go by and takes the look-back.
SELECT spool, segment, max(loaded_at) AS at, max(rows) AS rows, max(waited_ms) AS waited
FROM {database}.loads
WHERE table_name = 'events' AND loaded_at >= if({first}, now64(3), {since}) - INTERVAL 10 MINUTE
GROUP BY spool, segment
UNION ALL
SELECT toFixedString('', 16) AS spool, 0 AS segment, now64(3) AS at, 0 AS rows, 0 AS waited
ORDER BY at
