-- First serves of offers and holdout draws of the last 90 days; a row can come twice until parts are merged.
SELECT visitor, decision_id, offer, rule, arm, session, decided_at, valid_until
FROM {database}.decisions
WHERE site = ? AND visitor IN ({visitors}) AND first_serve = 1 AND decided_at >= ?
SETTINGS max_threads = 1
