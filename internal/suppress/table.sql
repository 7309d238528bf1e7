-- Entries that became visible since then; the row of zero bytes is the clock of the server.
SELECT suppress_key, CAST(cause, 'String') AS cause, at
FROM {database}.suppressed
WHERE added_at >= fromUnixTimestamp64Milli(?) AND expires > today()
UNION ALL
SELECT toFixedString('', 16), '', now64(3, 'UTC')
