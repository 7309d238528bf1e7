-- Idempotent: yes. Rewrites data: no. Safe while the collector runs: yes.
-- Read by report_traffic. Cells are numbers, counted anew from events by refresh_traffic, so a late or
-- repeated event is right after the next refresh, and no state that names a visitor is kept.
-- Quarter hours fit every time zone in use. Visitors do not add up over cells: report_traffic
-- counts them from events.
CREATE TABLE IF NOT EXISTS {database}.traffic{cluster}
(
    site            LowCardinality(String) COMMENT 'Site id',
    environment     LowCardinality(String) COMMENT 'Environment of the site',
    bucket          DateTime('UTC') COMMENT 'Start of a quarter of an hour, by occurred_at' CODEC(Delta, ZSTD(1)),
    lane            LowCardinality(String) COMMENT 'count, measure or decide',
    events          UInt64 COMMENT 'Events of people, each id once' CODEC(T64, ZSTD(1)),
    pageviews       UInt64 COMMENT 'page_view events of people' CODEC(T64, ZSTD(1)),
    product_views   UInt64 COMMENT 'product_view events of people' CODEC(T64, ZSTD(1)),
    cart_adds       UInt64 COMMENT 'cart_add events of people' CODEC(T64, ZSTD(1)),
    checkout_starts UInt64 COMMENT 'checkout_start events of people' CODEC(T64, ZSTD(1)),
    purchases       UInt64 COMMENT 'purchase events of people; orders and money are in the table orders' CODEC(T64, ZSTD(1)),
    visitors        UInt64 COMMENT 'Different visitors within this quarter; in lane measure an estimate; 0 in lane count' CODEC(T64, ZSTD(1)),
    sessions        UInt64 COMMENT 'Different sessions within this quarter' CODEC(T64, ZSTD(1)),
    bot_events      UInt64 COMMENT 'Events of known bots, in no other column' CODEC(T64, ZSTD(1)),
    built_at        DateTime('UTC') COMMENT 'When the cell was counted' CODEC(Delta, ZSTD(1)),
    expires         Date COMMENT 'Day on which the row is deleted'
)
ENGINE = ReplacingMergeTree(built_at)
ORDER BY (site, environment, bucket, lane)
TTL expires
SETTINGS non_replicated_deduplication_window = 100000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800,
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    merge_with_ttl_timeout = 3600
COMMENT 'Totals of each quarter of an hour (UTC). Analysts read report_traffic'
