-- Visitors of the last half hour, the latest first: those whose features changed, as the verdicts for analysts say.
SELECT site, visitor
FROM {database}.eligibility
WHERE decided_at >= now64(3) - INTERVAL 30 MINUTE
GROUP BY site, visitor
ORDER BY max(decided_at) DESC
LIMIT ?
