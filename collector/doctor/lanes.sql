-- The last hour of a site by lane, without programs. A browser's event lies a day back at most.
SELECT CAST(lane, 'String') AS lane, count() AS events
FROM {database:Identifier}.events
WHERE site = {site:String} AND toDate(occurred_at) >= today() - 1 AND received_at >= now() - INTERVAL 1 HOUR AND bot = 0 AND kind != 'consent'
GROUP BY lane
ORDER BY events DESC, lane
