-- Idempotent: yes. Rewrites data: no. Safe while the collector runs: yes.
-- Runs inside each insert into events: total functions only, since a view that throws blocks its batch.
CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.feed_orders{cluster}
TO {database}.orders AS
WITH toUInt8(multiIf(e.source = 'server', 3, e.source = 'import', 2, 1)) AS trust_of_event
SELECT
    e.site AS site,
    e.order_key AS order_key,
    max(e.environment) AS environment,
    maxIf(trust_of_event, e.kind = 'purchase') AS trust,
    minStateIf(e.occurred_at, e.kind = 'purchase') AS placed_at,
    argMaxStateIf(
        (e.value, e.discount, e.tax, e.shipping, CAST(e.currency, 'String'), e.value_site, arraySum(e.`items.quantity`)),
        (trust_of_event, e.occurred_at, e.event_id),
        e.kind = 'purchase') AS facts,
    groupUniqArrayIf((e.event_id, e.value, e.value_site), e.kind = 'refund') AS refunds,
    argMaxStateIf(e.visitor, (trust_of_event, e.occurred_at, e.event_id), e.visitor != toFixedString('', 16)) AS visitor,
    argMaxStateIf(e.session, (trust_of_event, e.occurred_at, e.event_id), e.session != toFixedString('', 16)) AS session,
    argMaxStateIf(e.customer_key, (trust_of_event, e.occurred_at, e.event_id), e.customer_key != toFixedString('', 16)) AS customer_key,
    argMaxStateIf(e.coupon_key, (trust_of_event, e.occurred_at, e.event_id), e.coupon_key != toFixedString('', 16)) AS coupon_key,
    argMaxStateIf(e.offer, (trust_of_event, e.occurred_at, e.event_id), e.offer != '') AS offer,
    argMaxStateIf(e.decision, (trust_of_event, e.occurred_at, e.event_id), e.decision != '') AS decision,
    groupUniqArrayIf(CAST(e.source, 'String'), e.kind = 'purchase') AS sources,
    max(e.expires) AS expires
FROM {database}.events AS e
WHERE e.bot = 0 AND e.kind IN ('purchase', 'refund') AND e.order_key != toFixedString('', 16)
GROUP BY site, order_key
