-- Idempotent: yes. Rewrites data: no. Safe while the collector runs: yes.
CREATE OR REPLACE VIEW {database}.v_orders{cluster}
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
SELECT *
FROM {database}.v_orders_all
WHERE environment = 'production'
COMMENT 'Orders, each once, with the amounts of the most trusted report'
