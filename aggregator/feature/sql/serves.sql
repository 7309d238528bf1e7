-- First serves of offers and holdout draws of the last 90 days, each decision once.
SELECT
    visitor,
    decision_id,
    any(offer) AS offer_id,
    any(rule) AS rule_version,
    any(arm) AS drawn_arm,
    any(session) AS in_session,
    toUnixTimestamp64Milli(min(decided_at)) AS at_ms,
    toUnixTimestamp64Milli(max(valid_until)) AS until_ms
FROM {database}.decisions
WHERE site = ? AND visitor IN ({visitors}) AND first_serve = 1 AND decided_at >= ?
GROUP BY visitor, decision_id
ORDER BY visitor, at_ms
SETTINGS max_threads = 1
