-- Batches of events that are completely in, newest look-back window only.
SELECT spool, segment, max(loaded_at) AS at
FROM {database}.loads
WHERE table_name = 'events' AND loaded_at >= ?
GROUP BY spool, segment
