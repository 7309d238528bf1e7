-- Idempotent: yes. Rewrites data: no. Safe while the collector runs: yes.
-- SELECT * FROM report_offer_daily(site = 'demo', timezone = 'Europe/Berlin', since = '2026-11-01', until = '2026-11-30') ORDER BY day, offer
-- A grant belongs to the day of its first serve, and so does all that came of it later, so that no step of a row is larger
-- than the one before for want of time. Events are read up to two days after the last of these grants has ended: a shop's server
-- may tell of an order late.
-- What has no grant, an offer to everyone, is known by the name of the offer and belongs to the day on which it happened.
-- The discount is taken from events by the rule of feed_orders: `orders` keeps no rate to convert it with.
-- Not folded: a cell is an offer's own, and says nothing of who the visitors are.
CREATE OR REPLACE VIEW {database}.report_offer_daily{cluster}
(
    day           Date COMMENT 'Day in the given time zone on which the offer was first served; of an offer to everyone, on which it was answered',
    offer         String COMMENT 'Offer id of sites.yaml',
    rule          String COMMENT 'Offer and version of its rule, as welcome-back@3f2a9c1d; of an offer to everyone the last one of the day',
    arm           String COMMENT 'treatment, or holdout: eligible and shown nothing; empty = an offer to everyone, outside experiments',
    served        UInt64 COMMENT 'Grants and holdout draws first served on this day, each decision_id once; 0 for an offer to everyone',
    answers       UInt64 COMMENT 'All answers that gave it or held it out, the first serve and folded repeats included',
    shown         UInt64 COMMENT 'Of those served, how many were seen (offer_shown); of an offer to everyone, events',
    dismissed     UInt64 COMMENT 'Of those served, how many were dismissed (offer_dismissed); of an offer to everyone, events',
    accepted      UInt64 COMMENT 'Of those served, how many were accepted (offer_accepted); of an offer to everyone, events',
    orders        UInt64 COMMENT 'Orders that name the decision; of an offer to everyone, orders of this day that name the offer. A holdout has none to name: compare arms with report_lift',
    net_site      Decimal(38, 4) COMMENT 'Value of these orders less refunds, in the currency of the site',
    discount_site Decimal(38, 4) COMMENT 'Discount of these orders as their most trusted report has it, in the currency of the site: what the offer cost. Waived shipping is in it if the shop reports it so',
    unconverted   UInt64 COMMENT 'Amounts left out of net_site and discount_site, as their currency has no known rate'
)
AS
WITH
    (
        SELECT toDate(max(d.valid_until)) + 2
        FROM {database}.decisions AS d
        WHERE d.site = {site:String} AND d.environment = 'production' AND d.expires > today() AND d.arm != ''
            AND d.decided_at >= toDateTime({since:Date} - 1, 'UTC') AND d.decided_at < toDateTime({until:Date} + 2, 'UTC')
    ) AS last_day,
    served AS
    (
        SELECT
            if(d.decision_id = toFixedString('', 16), concat(d.offer, ' ', toString(toDate(d.decided_at, {timezone:String}))), lower(hex(d.decision_id))) AS subject,
            toUInt64(d.decision_id != toFixedString('', 16)) AS granted,
            toDate(if(granted = 1, minIf(d.decided_at, d.first_serve = 1), min(d.decided_at)), {timezone:String}) AS day,
            CAST(any(d.offer), 'String') AS offer,
            argMax(d.rule, d.decided_at) AS rule,
            if(granted = 1, CAST(any(d.arm), 'String'), '') AS arm,
            count() + sum(toUInt64(d.repeats)) AS answers
        FROM {database}.decisions AS d FINAL
        WHERE d.site = {site:String} AND d.environment = 'production' AND d.expires > today()
            AND d.decided_at >= toDateTime({since:Date} - 1, 'UTC') AND d.decided_at < toDateTime(greatest({until:Date} + 2, assumeNotNull(last_day)) + 1, 'UTC')
            AND d.arm != ''
        GROUP BY subject, granted
        HAVING (granted = 0 OR max(d.first_serve) = 1) AND day BETWEEN {since:Date} AND {until:Date}
    ),
    reactions AS
    (
        SELECT
            if(match(e.decision, '^[0-9a-f]{32}$'), e.decision, concat(e.offer, ' ', toString(toDate(e.occurred_at, {timezone:String})))) AS subject,
            uniqExactIf(e.event_id, e.kind = 'offer_shown') AS shown,
            uniqExactIf(e.event_id, e.kind = 'offer_dismissed') AS dismissed,
            uniqExactIf(e.event_id, e.kind = 'offer_accepted') AS accepted
        FROM {database}.events AS e
        WHERE e.site = {site:String} AND e.environment = 'production' AND e.expires > today() AND e.bot = 0
            AND toDate(e.occurred_at) BETWEEN {since:Date} - 1 AND greatest({until:Date} + 2, assumeNotNull(last_day))
            AND e.kind IN ('offer_shown', 'offer_dismissed', 'offer_accepted')
        GROUP BY subject
    ),
    purchases AS
    (
        SELECT
            lower(hex(e.order_key)) AS order_key,
            argMax((e.discount, e.rate), (multiIf(e.source = 'server', 3, e.source = 'import', 2, 1), e.occurred_at, e.event_id)) AS winner,
            winner.1 AS discount,
            if(winner.2 > 0, CAST(round(toDecimal128(discount, 4) * toDecimal128(winner.2, 8), 4), 'Nullable(Decimal(38, 4))'), NULL) AS discount_site
        FROM {database}.events AS e
        WHERE e.site = {site:String} AND e.environment = 'production' AND e.expires > today() AND e.bot = 0
            AND toDate(e.occurred_at) BETWEEN {since:Date} - 1 AND greatest({until:Date} + 2, assumeNotNull(last_day))
            AND e.kind = 'purchase' AND e.order_key != toFixedString('', 16)
        GROUP BY order_key
    ),
    sales AS
    (
        SELECT
            if(match(o.decision, '^[0-9a-f]{32}$'), o.decision, concat(o.offer, ' ', toString(toDate(assumeNotNull(o.placed_at), {timezone:String})))) AS subject,
            count() AS orders,
            sum(ifNull(o.net_site, toDecimal128(0, 4))) AS net_site,
            sum(ifNull(p.discount_site, toDecimal128(0, 4))) AS discount_site,
            sum(o.unconverted + toUInt64(p.discount IS NOT NULL AND p.discount_site IS NULL)) AS unconverted
        FROM {database}.v_orders AS o
        INNER JOIN purchases AS p ON o.order_key = p.order_key
        WHERE o.site = {site:String} AND o.placed_at IS NOT NULL AND (o.offer != '' OR o.decision != '')
        GROUP BY subject
    )
SELECT
    s.day AS day,
    s.offer AS offer,
    s.rule AS rule,
    s.arm AS arm,
    sum(s.granted) AS served,
    sum(s.answers) AS answers,
    sum(if(s.granted = 1, least(r.shown, 1), r.shown)) AS shown,
    sum(if(s.granted = 1, least(r.dismissed, 1), r.dismissed)) AS dismissed,
    sum(if(s.granted = 1, least(r.accepted, 1), r.accepted)) AS accepted,
    sum(t.orders) AS orders,
    sum(t.net_site) AS net_site,
    sum(t.discount_site) AS discount_site,
    sum(t.unconverted) AS unconverted
FROM served AS s
LEFT JOIN reactions AS r ON s.subject = r.subject
LEFT JOIN sales AS t ON s.subject = t.subject
GROUP BY day, offer, rule, arm
COMMENT 'Offers of one site in production, a row for each day of the given time zone, offer, rule version and arm: from served to shown to accepted to ordered, revenue and cost of the discount. Goes back as far as decisions are kept (retention.profiles)'
