-- Idempotent: yes. Rewrites data: no. Safe while the collector runs: yes.
CREATE OR REPLACE VIEW {database}.v_orders_all{cluster}
(
    site          LowCardinality(String) COMMENT 'Site id',
    environment   LowCardinality(String) COMMENT 'production, staging ... of sites.yaml',
    order_key     String COMMENT 'Keyed hash of the order number, 32 hexadecimal digits',
    placed_at     Nullable(DateTime64(3, 'UTC')) COMMENT 'First report of the purchase; NULL = only a refund is known',
    reported_by   String COMMENT 'Whose amounts these are: server, import or browser; empty = only a refund is known',
    sources       Array(String) COMMENT 'Everybody who reported the purchase',
    currency      String COMMENT 'ISO 4217 code of value, discount, tax and shipping',
    value         Nullable(Decimal(18, 4)) COMMENT 'Total net of discount, tax and shipping, before refunds, in currency',
    discount      Nullable(Decimal(18, 4)) COMMENT 'Discount, in currency',
    tax           Nullable(Decimal(18, 4)) COMMENT 'Tax, in currency',
    shipping      Nullable(Decimal(18, 4)) COMMENT 'Shipping, in currency',
    units         UInt64 COMMENT 'Units sold, where lines were reported',
    value_site    Nullable(Decimal(38, 4)) COMMENT 'value in the currency of the site; NULL = no amount or no known rate',
    refunds       UInt64 COMMENT 'Refunds',
    refunded_site Decimal(38, 4) COMMENT 'Paid back, in the currency of the site; a refund without amount is the whole order',
    net_site      Nullable(Decimal(38, 4)) COMMENT 'value_site less refunded_site, at least 0: add this up for revenue; NULL = no amount or no known rate',
    unconverted   UInt64 COMMENT 'Amounts of this order left out of the sums, as their currency has no known rate',
    visitor       String COMMENT 'Visitor, 32 hexadecimal digits; empty = unknown',
    session       String COMMENT 'Session, 32 hexadecimal digits; empty = unknown',
    customer_key  String COMMENT 'Keyed hash of the customer id; empty = unknown',
    coupon_key    String COMMENT 'Keyed hash of the coupon code; empty = none',
    offer         String COMMENT 'Offer that was redeemed; empty = none',
    decision      String COMMENT 'decision_id of that offer, as in v_decisions; empty = none'
)
AS
WITH orders_once AS
(
    SELECT
        o.site AS site,
        o.order_key AS order_key,
        max(o.environment) AS environment,
        max(o.trust) AS trust,
        minMerge(o.placed_at) AS placed_at,
        argMaxMerge(o.facts) AS facts,
        groupUniqArrayArray(o.refunds) AS refunds,
        argMaxMerge(o.visitor) AS visitor,
        argMaxMerge(o.session) AS session,
        argMaxMerge(o.customer_key) AS customer_key,
        argMaxMerge(o.coupon_key) AS coupon_key,
        argMaxMerge(o.offer) AS offer,
        argMaxMerge(o.decision) AS decision,
        arraySort(groupUniqArrayArray(o.sources)) AS sources
    FROM {database}.orders AS o
    WHERE o.expires > today()
    GROUP BY o.site, o.order_key
)
SELECT
    o.site AS site,
    o.environment AS environment,
    lower(hex(o.order_key)) AS order_key,
    if(o.trust = 0, NULL, o.placed_at) AS placed_at,
    multiIf(o.trust = 3, 'server', o.trust = 2, 'import', o.trust = 1, 'browser', '') AS reported_by,
    o.sources AS sources,
    o.facts.currency AS currency,
    o.facts.value AS value,
    o.facts.discount AS discount,
    o.facts.tax AS tax,
    o.facts.shipping AS shipping,
    o.facts.units AS units,
    o.facts.value_site AS value_site,
    length(o.refunds) AS refunds,
    if(
        arrayExists(r -> r.amount IS NULL, o.refunds),
        ifNull(o.facts.value_site, toDecimal128(0, 4)),
        arraySum(arrayMap(r -> ifNull(r.amount_site, toDecimal128(0, 4)), o.refunds))) AS refunded_site,
    if(o.facts.value_site IS NULL, NULL, greatest(o.facts.value_site - refunded_site, toDecimal128(0, 4))) AS net_site,
    toUInt64(o.facts.value IS NOT NULL AND o.facts.value_site IS NULL)
        + arrayCount(r -> r.amount IS NOT NULL AND r.amount_site IS NULL, o.refunds) AS unconverted,
    if(o.visitor = toFixedString('', 16), '', lower(hex(o.visitor))) AS visitor,
    if(o.session = toFixedString('', 16), '', lower(hex(o.session))) AS session,
    if(o.customer_key = toFixedString('', 16), '', lower(hex(o.customer_key))) AS customer_key,
    if(o.coupon_key = toFixedString('', 16), '', lower(hex(o.coupon_key))) AS coupon_key,
    o.offer AS offer,
    o.decision AS decision
FROM orders_once AS o
COMMENT 'Orders, each once, with the amounts of the most trusted report, of every environment'
