-- Who changed in these batches, and orders that changed without a word of whose they are. {batches} is a list of
-- (spool, segment) tuples. A row can come twice until parts are merged.
SELECT site, visitor, order_key
FROM {database}.visitor_changes
WHERE (spool, segment) IN ({batches})
SETTINGS max_threads = 1
