-- Idempotent: yes. Rewrites data: no. Safe while the collector runs: yes.
-- Runs inside each insert into events: total functions only, since a view that throws blocks its batch.
CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.feed_consents{cluster}
TO {database}.consents AS
SELECT
    e.site AS site,
    e.visitor AS visitor,
    e.consent_at AS at,
    e.event_id AS event_id,
    e.environment AS environment,
    e.choice AS choice,
    e.lane AS lane,
    e.cause AS cause,
    e.consent_source AS source,
    e.consent_policy AS policy,
    e.country AS country,
    e.received_at AS recorded_at,
    greatest(e.expires, e.profile_expires) AS expires
FROM {database}.events AS e
WHERE e.kind = 'consent'
