-- Idempotent: yes. Rewrites data: no. Safe while the collector runs: yes.
-- Read by v_sessions and report_traffic. The id is made by the collector from the cookie, so rows of one
-- session merge in any order and a repeated event changes nothing: no rows that cancel others.
CREATE TABLE IF NOT EXISTS {database}.sessions{cluster}
(
    site            LowCardinality(String) COMMENT 'Site id',
    session         FixedString(16) COMMENT 'Session of lane decide, never a known bot' CODEC(ZSTD(1)),
    environment     SimpleAggregateFunction(max, LowCardinality(String)) COMMENT 'Environment of the site',
    visitor         SimpleAggregateFunction(max, FixedString(16)) COMMENT 'Visitor of the session' CODEC(ZSTD(1)),
    started_at      SimpleAggregateFunction(min, DateTime64(3, 'UTC')) COMMENT 'First event' CODEC(ZSTD(1)),
    ended_at        SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'Last event' CODEC(ZSTD(1)),
    events          AggregateFunction(uniqExact, FixedString(16)) COMMENT 'Event ids; read with uniqExactMerge' CODEC(ZSTD(1)),
    pageviews       AggregateFunction(uniqExact, FixedString(16)) COMMENT 'Event ids of page_view' CODEC(ZSTD(1)),
    product_views   AggregateFunction(uniqExact, FixedString(16)) COMMENT 'Event ids of product_view' CODEC(ZSTD(1)),
    cart_adds       AggregateFunction(uniqExact, FixedString(16)) COMMENT 'Event ids of cart_add' CODEC(ZSTD(1)),
    checkout_starts AggregateFunction(uniqExact, FixedString(16)) COMMENT 'Event ids of checkout_start' CODEC(ZSTD(1)),
    orders          SimpleAggregateFunction(groupUniqArrayArray, Array(FixedString(16))) COMMENT 'order_key of the purchases' CODEC(ZSTD(1)),
    entry_path      AggregateFunction(argMin, String, Tuple(DateTime64(3, 'UTC'), FixedString(16))) COMMENT 'Path of the first page; read with argMinMerge' CODEC(ZSTD(1)),
    exit_path       AggregateFunction(argMax, String, Tuple(DateTime64(3, 'UTC'), FixedString(16))) COMMENT 'Path of the last page' CODEC(ZSTD(1)),
    referrer        AggregateFunction(argMin, String, Tuple(DateTime64(3, 'UTC'), FixedString(16))) COMMENT 'First referrer that was not empty' CODEC(ZSTD(1)),
    utm_source      AggregateFunction(argMin, String, Tuple(DateTime64(3, 'UTC'), FixedString(16))) COMMENT 'First utm_source that was not empty' CODEC(ZSTD(1)),
    utm_medium      AggregateFunction(argMin, String, Tuple(DateTime64(3, 'UTC'), FixedString(16))) COMMENT 'First utm_medium that was not empty' CODEC(ZSTD(1)),
    utm_campaign    AggregateFunction(argMin, String, Tuple(DateTime64(3, 'UTC'), FixedString(16))) COMMENT 'First utm_campaign that was not empty' CODEC(ZSTD(1)),
    country         AggregateFunction(argMin, String, Tuple(DateTime64(3, 'UTC'), FixedString(16))) COMMENT 'First known country' CODEC(ZSTD(1)),
    device          AggregateFunction(argMin, String, Tuple(DateTime64(3, 'UTC'), FixedString(16))) COMMENT 'First known device class' CODEC(ZSTD(1)),
    browser         AggregateFunction(argMin, String, Tuple(DateTime64(3, 'UTC'), FixedString(16))) COMMENT 'First known browser family' CODEC(ZSTD(1)),
    os              AggregateFunction(argMin, String, Tuple(DateTime64(3, 'UTC'), FixedString(16))) COMMENT 'First known operating system family' CODEC(ZSTD(1)),
    expires         SimpleAggregateFunction(max, Date) COMMENT 'Day on which the row is deleted, by the event retention of the site'
)
ENGINE = AggregatingMergeTree
ORDER BY (site, session)
TTL expires
SETTINGS non_replicated_deduplication_window = 100000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800,
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    merge_with_ttl_timeout = 3600
COMMENT 'One session each, as mergeable states. Analysts read v_sessions'
