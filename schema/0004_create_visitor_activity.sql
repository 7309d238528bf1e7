-- Idempotent: yes. Rewrites data: no. Safe while the collector runs: yes.
-- Read by aggregator/feature, a hundred visitors in one query, and by v_visitors. One row for each hour
-- in which a visitor was active: windows are summed when read, so they slide by themselves.
-- Idempotent by event id: uniq, min, max, argMax; never a sum or a count. A repeated event changes nothing.
-- Measured on 10 million rows with these block sizes: 100 visitors 10 ms, 1,000 visitors 60 ms
-- (with default ones 45 and 220 ms) for 7 % more disk.
CREATE TABLE IF NOT EXISTS {database}.visitor_activity{cluster}
(
    site            LowCardinality(String) COMMENT 'Site id',
    visitor         FixedString(16) COMMENT 'Visitor of lane decide, never a known bot' CODEC(ZSTD(1)),
    hour            DateTime('UTC') COMMENT 'Hour of occurred_at' CODEC(Delta, ZSTD(1)),
    environment     SimpleAggregateFunction(max, LowCardinality(String)) COMMENT 'Environment of the site',
    pageviews       AggregateFunction(uniqExact, FixedString(16)) COMMENT 'Event ids of page_view; read with uniqExactMerge' CODEC(ZSTD(1)),
    product_views   AggregateFunction(uniqExact, FixedString(16)) COMMENT 'Event ids of product_view' CODEC(ZSTD(1)),
    cart_adds       AggregateFunction(uniqExact, FixedString(16)) COMMENT 'Event ids of cart_add' CODEC(ZSTD(1)),
    checkout_starts AggregateFunction(uniqExact, FixedString(16)) COMMENT 'Event ids of checkout_start' CODEC(ZSTD(1)),
    sessions        SimpleAggregateFunction(groupUniqArrayArray, Array(FixedString(16))) COMMENT 'Sessions seen in this hour; read with groupUniqArrayArray' CODEC(ZSTD(1)),
    products        SimpleAggregateFunction(groupUniqArrayArray, Array(UInt64)) COMMENT 'sipHash64 of the products viewed in this hour' CODEC(ZSTD(1)),
    orders          SimpleAggregateFunction(groupUniqArrayArray, Array(FixedString(16))) COMMENT 'order_key of purchases in this hour; amounts are in the table orders' CODEC(ZSTD(1)),
    first_seen      SimpleAggregateFunction(min, DateTime64(3, 'UTC')) COMMENT 'First event of the hour' CODEC(ZSTD(1)),
    last_seen       SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'Last event of the hour' CODEC(ZSTD(1)),
    last_cart       SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'Last cart_add or checkout_start of the hour; 1970 = none' CODEC(ZSTD(1)),
    visitor_since   SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'Creation of the visitor cookie; 1970 = none' CODEC(ZSTD(1)),
    cart_value      AggregateFunction(argMax, Decimal(38, 4), Tuple(DateTime64(3, 'UTC'), FixedString(16))) COMMENT 'Last known value of the cart in the currency of the site; a purchase empties it; read with argMaxMerge' CODEC(ZSTD(1)),
    country         AggregateFunction(argMax, String, Tuple(DateTime64(3, 'UTC'), FixedString(16))) COMMENT 'Last known country' CODEC(ZSTD(1)),
    region          AggregateFunction(argMax, String, Tuple(DateTime64(3, 'UTC'), FixedString(16))) COMMENT 'Last known region' CODEC(ZSTD(1)),
    device          AggregateFunction(argMax, String, Tuple(DateTime64(3, 'UTC'), FixedString(16))) COMMENT 'Last known device class' CODEC(ZSTD(1)),
    browser         AggregateFunction(argMax, String, Tuple(DateTime64(3, 'UTC'), FixedString(16))) COMMENT 'Last known browser family' CODEC(ZSTD(1)),
    os              AggregateFunction(argMax, String, Tuple(DateTime64(3, 'UTC'), FixedString(16))) COMMENT 'Last known operating system family' CODEC(ZSTD(1)),
    referrer        AggregateFunction(argMax, String, Tuple(DateTime64(3, 'UTC'), FixedString(16))) COMMENT 'Last referrer that was not empty' CODEC(ZSTD(1)),
    utm_source      AggregateFunction(argMax, String, Tuple(DateTime64(3, 'UTC'), FixedString(16))) COMMENT 'Last utm_source that was not empty' CODEC(ZSTD(1)),
    utm_medium      AggregateFunction(argMax, String, Tuple(DateTime64(3, 'UTC'), FixedString(16))) COMMENT 'Last utm_medium that was not empty' CODEC(ZSTD(1)),
    utm_campaign    AggregateFunction(argMax, String, Tuple(DateTime64(3, 'UTC'), FixedString(16))) COMMENT 'Last utm_campaign that was not empty' CODEC(ZSTD(1)),
    expires         SimpleAggregateFunction(max, Date) COMMENT 'Day on which the row is deleted, by the profile retention of the site'
)
ENGINE = AggregatingMergeTree
ORDER BY (site, visitor, hour)
TTL expires
SETTINGS non_replicated_deduplication_window = 100000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800,
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    merge_with_ttl_timeout = 3600,
    index_granularity = 128,
    min_compress_block_size = 4096,
    max_compress_block_size = 8192
COMMENT 'What each visitor did in each hour, as mergeable states. Analysts read v_visitors'
