-- The first and the last event of a site. Reads one column of the site; the doctor bounds the time.
SELECT count(), min(received_at), max(received_at)
FROM {database:Identifier}.events
WHERE site = {site:String}
