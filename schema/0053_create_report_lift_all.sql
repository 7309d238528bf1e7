-- Idempotent: yes. Rewrites data: no. Safe while the collector runs: yes.
-- SELECT * FROM report_lift_all(site = 'demo', timezone = 'Europe/Berlin', since = '2026-11-01', until = '2026-11-30')
-- Read by the command `report` of the aggregator. Sums only, so that rows merge by adding up: a visitor is in one row,
-- that of the day of the first assignment, whatever day it is that they order on. An experiment of an offer ends for everybody
-- when the first visitor is drawn for one with a higher number; what depends on a visitor must not end it, or the arms would differ.
-- Without FINAL: a decision that is there twice changes no minimum and no maximum.
CREATE OR REPLACE VIEW {database}.report_lift_all{cluster}
(
    site            String COMMENT 'Site id',
    environment     LowCardinality(String) COMMENT 'production, staging ... of sites.yaml',
    offer           LowCardinality(String) COMMENT 'Offer id of sites.yaml; offers to everyone are outside experiments',
    experiment      UInt32 COMMENT 'Number of the experiment of that offer; it ends when a visitor is drawn for a higher one',
    holdout         Float64 COMMENT 'Share of the holdout when these visitors were assigned, 0 to 1',
    arm             String COMMENT 'treatment: given the offer; holdout: eligible and given nothing',
    day             Date COMMENT 'Day of the first assignment in the given time zone',
    visitors        UInt64 COMMENT 'Visitors assigned to this arm, each once: those who were eligible and drawn',
    served          UInt64 COMMENT 'Of them, who were given the offer in an answer',
    shown           UInt64 COMMENT 'Of them, whose browser reported offer_shown since the assignment',
    orders          UInt64 COMMENT 'Orders placed since the assignment, refunded or not',
    converted       UInt64 COMMENT 'Visitors with such an order',
    revenue         Decimal(38, 4) COMMENT 'Value of these orders less refunds, in the currency of the site',
    revenue_squared Float64 COMMENT 'Sum of the squares of what each visitor brought; with revenue and visitors it gives the variance',
    unconverted     UInt64 COMMENT 'Amounts left out of revenue, as their currency has no known rate'
)
AS
WITH
    begun AS
    (
        SELECT d.environment AS environment, d.offer AS offer, d.experiment AS experiment, min(d.decided_at) AS begun_at
        FROM {database}.decisions AS d
        WHERE d.site = {site:String} AND d.first_serve = 1 AND d.personalised = 1 AND d.arm != '' AND d.expires > today()
        GROUP BY d.environment, d.offer, d.experiment
    ),
    spans AS
    (
        SELECT
            b.environment AS environment,
            b.offer AS offer,
            b.experiment AS experiment,
            minIf(n.begun_at, n.experiment > b.experiment) AS next_at,
            if(next_at = toDateTime64(0, 3, 'UTC'), toDateTime64('2299-12-31 00:00:00', 3, 'UTC'), next_at) AS ended_at
        FROM begun AS b
        INNER JOIN begun AS n ON b.environment = n.environment AND b.offer = n.offer
        GROUP BY b.environment, b.offer, b.experiment
    ),
    drawn AS
    (
        SELECT
            d.environment AS environment,
            d.offer AS offer,
            d.experiment AS experiment,
            d.visitor AS visitor,
            minIf(d.decided_at, d.first_serve = 1) AS assigned_at,
            argMinIf(d.arm, d.decided_at, d.first_serve = 1) AS arm,
            argMinIf(d.holdout, d.decided_at, d.first_serve = 1) AS holdout,
            maxIf(d.decided_at, d.eligible = 1) AS last_served
        FROM {database}.decisions AS d
        WHERE d.site = {site:String} AND d.offer != '' AND d.personalised = 1 AND d.arm != '' AND d.expires > today()
        GROUP BY d.environment, d.offer, d.experiment, d.visitor
        HAVING countIf(d.first_serve = 1) > 0 AND toDate(assigned_at, {timezone:String}) BETWEEN {since:Date} AND {until:Date}
    ),
    bought AS
    (
        SELECT
            toFixedString(unhex(o.visitor), 16) AS visitor,
            groupArray((assumeNotNull(o.placed_at), ifNull(o.net_site, toDecimal128(0, 4)), o.unconverted)) AS orders
        FROM {database}.v_orders_all AS o
        WHERE o.site = {site:String} AND o.visitor != '' AND o.placed_at IS NOT NULL
        GROUP BY visitor
    ),
    seen AS
    (
        SELECT e.visitor AS visitor, e.offer AS offer, groupUniqArray(1000)(e.occurred_at) AS times
        FROM {database}.events AS e
        WHERE e.site = {site:String} AND toDate(e.occurred_at) >= {since:Date} - 1
            AND e.kind = 'offer_shown' AND e.lane = 'decide' AND e.bot = 0 AND e.expires > today()
        GROUP BY e.visitor, e.offer
    ),
    visitors AS
    (
        SELECT
            a.environment AS environment,
            a.offer AS offer,
            a.experiment AS experiment,
            a.holdout AS holdout,
            a.arm AS arm,
            toDate(a.assigned_at, {timezone:String}) AS day,
            a.last_served >= a.assigned_at AS was_served,
            arrayExists(x -> x >= a.assigned_at AND x < s.ended_at, v.times) AS was_shown,
            arrayFilter(x -> x.1 >= a.assigned_at AND x.1 < s.ended_at, b.orders) AS their_orders,
            toFloat64(arraySum(arrayMap(x -> x.2, their_orders))) AS brought
        FROM drawn AS a
        INNER JOIN spans AS s ON a.environment = s.environment AND a.offer = s.offer AND a.experiment = s.experiment
        LEFT JOIN bought AS b ON a.visitor = b.visitor
        LEFT JOIN seen AS v ON a.visitor = v.visitor AND a.offer = v.offer
        WHERE a.assigned_at < s.ended_at
    )
SELECT
    {site:String} AS site,
    environment,
    offer,
    experiment,
    holdout,
    arm,
    day,
    count() AS visitors,
    countIf(was_served) AS served,
    countIf(was_shown) AS shown,
    sum(length(their_orders)) AS orders,
    countIf(notEmpty(their_orders)) AS converted,
    sum(arraySum(arrayMap(x -> x.2, their_orders))) AS revenue,
    sum(brought * brought) AS revenue_squared,
    sum(arraySum(arrayMap(x -> x.3, their_orders))) AS unconverted
FROM visitors
GROUP BY environment, offer, experiment, holdout, arm, day
COMMENT 'Experiments with the targeted offers of one site, of every environment; as sums that add up'
