-- Batches of events that are completely in, by the server's clock; the row of no spool is that clock.
SELECT spool, segment, loaded_at, rows, waited_ms, toUnixTimestamp64Milli(last_received) - toUnixTimestamp64Milli(first_received) AS gathered
FROM {database}.loads
WHERE table_name = 'events' AND loaded_at >= {since}
UNION ALL
SELECT toFixedString('', 16), 0, now64(3), 0, 0, 0
SETTINGS max_threads = 1
