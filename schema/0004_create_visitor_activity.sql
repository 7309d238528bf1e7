-- Idempotent: yes. Rewrites data: no. Safe while the collector runs: yes.
-- Read by aggregator/feature, one to a thousand visitors in one query, and by v_visitors. One row for each hour
-- in which a visitor was active: windows are summed when read, so they slide by themselves.
-- Idempotent by event id: uniq, min, max; never a sum or a count. A repeated event changes nothing.
-- Plain values that max and groupUniqArray merge, hardly a state: what a view writes for a visitor of one event cost three
-- times as much as states (docs/adr/0026). A text that shall be the latest has 8 bytes of its time before it.
-- Blocks so small, for 7 % more disk, because a visitor's rows are few: with default ones a read of 1,000 visitors took nearly
-- four times as long. Of such blocks ZSTD takes longer to open each than to read it: LZ4 takes half the time, for 16 % more disk.
-- One visitor costs 7 to 8 ms of processor time now, most of it planning, 1,000 cost about 110 ms (docs/adr/0028).
CREATE TABLE IF NOT EXISTS {database}.visitor_activity{cluster}
(
    site            LowCardinality(String) COMMENT 'Site id',
    visitor         FixedString(16) COMMENT 'Visitor of lane decide, never a known bot' CODEC(LZ4),
    hour            DateTime('UTC') COMMENT 'Hour of occurred_at' CODEC(Delta, LZ4),
    environment     SimpleAggregateFunction(max, LowCardinality(String)) COMMENT 'Environment of the site',
    events          SimpleAggregateFunction(groupUniqArrayArray, Array(UInt64)) COMMENT 'Each event once: hash of its id x 8, and what it was: 1 page_view, 2 product_view, 3 cart_add, 4 checkout_start, 0 else' CODEC(LZ4),
    sessions        SimpleAggregateFunction(groupUniqArrayArray, Array(FixedString(16))) COMMENT 'Sessions seen in this hour; read with groupUniqArrayArray' CODEC(LZ4),
    products        SimpleAggregateFunction(groupUniqArrayArray, Array(UInt64)) COMMENT 'sipHash64 of the products viewed in this hour' CODEC(LZ4),
    orders          SimpleAggregateFunction(groupUniqArrayArray, Array(FixedString(16))) COMMENT 'order_key of purchases in this hour; amounts are in the table orders' CODEC(LZ4),
    first_seen      SimpleAggregateFunction(min, DateTime64(3, 'UTC')) COMMENT 'First event of the hour' CODEC(LZ4),
    last_seen       SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'Last event of the hour' CODEC(LZ4),
    last_cart       SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'Last cart_add or checkout_start of the hour; 1970 = none' CODEC(LZ4),
    visitor_since   SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'Creation of the visitor cookie; 1970 = none' CODEC(LZ4),
    cart_value      SimpleAggregateFunction(max, String) COMMENT 'Last known value of the cart in the currency of the site, behind 8 bytes of its time and 16 of its event; a purchase empties it' CODEC(LZ4),
    country         SimpleAggregateFunction(max, String) COMMENT 'Last known country, behind 8 bytes of its time' CODEC(LZ4),
    region          SimpleAggregateFunction(max, String) COMMENT 'Last known region, behind 8 bytes of its time' CODEC(LZ4),
    device          SimpleAggregateFunction(max, String) COMMENT 'Last known device class, behind 8 bytes of its time' CODEC(LZ4),
    browser         SimpleAggregateFunction(max, String) COMMENT 'Last known browser family, behind 8 bytes of its time' CODEC(LZ4),
    os              SimpleAggregateFunction(max, String) COMMENT 'Last known operating system family, behind 8 bytes of its time' CODEC(LZ4),
    referrer        SimpleAggregateFunction(max, String) COMMENT 'Last referrer that was not empty, behind 8 bytes of its time' CODEC(LZ4),
    utm_source      SimpleAggregateFunction(max, String) COMMENT 'Last utm_source that was not empty, behind 8 bytes of its time' CODEC(LZ4),
    utm_medium      SimpleAggregateFunction(max, String) COMMENT 'Last utm_medium that was not empty, behind 8 bytes of its time' CODEC(LZ4),
    utm_campaign    SimpleAggregateFunction(max, String) COMMENT 'Last utm_campaign that was not empty, behind 8 bytes of its time' CODEC(LZ4),
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
COMMENT 'What each visitor did in each hour, as values that merge. Analysts read v_visitors'
