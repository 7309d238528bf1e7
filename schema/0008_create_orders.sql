-- Idempotent: yes. Rewrites data: no. Safe while the collector runs: yes.
-- Read by aggregator/feature (revenue) and v_orders; reports and features never add up purchase events.
-- The browser and the shop each report an order under an event id of their own. The version of
-- the highest trust wins, then the latest: server 3, import 2, pixel and beacon 1.
-- Refunds are kept as a set of (event, amount) and summed when read, so a repeated one counts once.
CREATE TABLE IF NOT EXISTS {database}.orders{cluster}
(
    site         LowCardinality(String) COMMENT 'Site id',
    order_key    FixedString(16) COMMENT 'Keyed hash of the order number; the key of a site never rotates' CODEC(ZSTD(1)),
    environment  SimpleAggregateFunction(max, LowCardinality(String)) COMMENT 'Environment of the site',
    trust        SimpleAggregateFunction(max, UInt8) COMMENT 'Who the winning version is from: 3 server, 2 import, 1 browser, 0 = only a refund is known',
    placed_at    AggregateFunction(min, DateTime64(3, 'UTC')) COMMENT 'First report of the purchase, by occurred_at; read with minMerge' CODEC(ZSTD(1)),
    facts        AggregateFunction(argMax, Tuple(value Nullable(Decimal(18, 4)), discount Nullable(Decimal(18, 4)), tax Nullable(Decimal(18, 4)), shipping Nullable(Decimal(18, 4)), currency String, value_site Nullable(Decimal(38, 4)), units UInt64), Tuple(UInt8, DateTime64(3, 'UTC'), FixedString(16))) COMMENT 'Amounts of the winning version: value, discount, tax, shipping and their currency, value_site in the currency of the site (NULL = no known rate), units sold; read with argMaxMerge' CODEC(ZSTD(1)),
    refunds      SimpleAggregateFunction(groupUniqArrayArray, Array(Tuple(event_id FixedString(16), amount Nullable(Decimal(18, 4)), amount_site Nullable(Decimal(38, 4))))) COMMENT 'Refunds: event id, amount in its own currency and in that of the site; a NULL amount = the whole order' CODEC(ZSTD(1)),
    visitor      AggregateFunction(argMax, FixedString(16), Tuple(UInt8, DateTime64(3, 'UTC'), FixedString(16))) COMMENT 'Visitor, from the most trusted version that names one' CODEC(ZSTD(1)),
    session      AggregateFunction(argMax, FixedString(16), Tuple(UInt8, DateTime64(3, 'UTC'), FixedString(16))) COMMENT 'Session, likewise' CODEC(ZSTD(1)),
    customer_key AggregateFunction(argMax, FixedString(16), Tuple(UInt8, DateTime64(3, 'UTC'), FixedString(16))) COMMENT 'Customer, likewise' CODEC(ZSTD(1)),
    coupon_key   AggregateFunction(argMax, FixedString(16), Tuple(UInt8, DateTime64(3, 'UTC'), FixedString(16))) COMMENT 'Coupon, likewise' CODEC(ZSTD(1)),
    offer        AggregateFunction(argMax, String, Tuple(UInt8, DateTime64(3, 'UTC'), FixedString(16))) COMMENT 'Offer that was redeemed, likewise' CODEC(ZSTD(1)),
    decision     AggregateFunction(argMax, String, Tuple(UInt8, DateTime64(3, 'UTC'), FixedString(16))) COMMENT 'decision_id of that offer, likewise' CODEC(ZSTD(1)),
    sources      SimpleAggregateFunction(groupUniqArrayArray, Array(String)) COMMENT 'Everybody who reported the purchase',
    expires      SimpleAggregateFunction(max, Date) COMMENT 'Day on which the row is deleted, by the event retention of the site'
)
ENGINE = AggregatingMergeTree
ORDER BY (site, order_key)
TTL expires
SETTINGS non_replicated_deduplication_window = 100000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800,
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    merge_with_ttl_timeout = 3600,
    index_granularity = 256
COMMENT 'One order each, as mergeable states. Analysts read v_orders'
