-- Idempotent: yes. Rewrites data: no. Safe while the collector runs: yes.
-- SELECT offer, experiment, arm, sum(visitors), sum(revenue) / sum(visitors)
-- FROM report_lift(site = 'demo', timezone = 'Europe/Berlin', since = '2026-11-01', until = '2026-11-30') GROUP BY ALL
CREATE OR REPLACE VIEW {database}.report_lift{cluster}
(
    site            String COMMENT 'Site id',
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
SELECT * EXCEPT environment
FROM {database}.report_lift_all(site = {site:String}, timezone = {timezone:String}, since = {since:Date}, until = {until:Date})
WHERE environment = 'production'
COMMENT 'Experiments with the targeted offers of one site in production, as sums that add up: who was assigned to which arm, and what they brought afterwards. A row for each offer, experiment, share of the holdout, arm, and day of the first assignment'
