-- Idempotent: yes. Rewrites data: no. Safe while the collector runs: yes.
-- Read by v_sessions and report_traffic. The id is made by the collector from the cookie, so rows of one
-- session merge in any order and a repeated event changes nothing: no rows that cancel others. Texts as in
-- visitor_activity: what shall be the earliest has 8 bytes before it that fall as time goes on.
CREATE TABLE IF NOT EXISTS {database}.sessions{cluster}
(
    site            LowCardinality(String) COMMENT 'Site id',
    session         FixedString(16) COMMENT 'Session of lane decide, never a known bot' CODEC(ZSTD(1)),
    environment     SimpleAggregateFunction(max, LowCardinality(String)) COMMENT 'Environment of the site',
    visitor         SimpleAggregateFunction(max, FixedString(16)) COMMENT 'Visitor of the session' CODEC(ZSTD(1)),
    started_at      SimpleAggregateFunction(min, DateTime64(3, 'UTC')) COMMENT 'First event' CODEC(ZSTD(1)),
    ended_at        SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'Last event' CODEC(ZSTD(1)),
    events          SimpleAggregateFunction(groupUniqArrayArray, Array(UInt64)) COMMENT 'Each event once: hash of its id x 8, and what it was, as in visitor_activity' CODEC(ZSTD(1)),
    orders          SimpleAggregateFunction(groupUniqArrayArray, Array(FixedString(16))) COMMENT 'order_key of the purchases' CODEC(ZSTD(1)),
    entry_path      SimpleAggregateFunction(max, String) COMMENT 'Path of the first page, behind 8 bytes of time left' CODEC(ZSTD(1)),
    exit_path       SimpleAggregateFunction(max, String) COMMENT 'Path of the last page, behind 8 bytes of its time' CODEC(ZSTD(1)),
    referrer        SimpleAggregateFunction(max, String) COMMENT 'First referrer that was not empty, behind 8 bytes of time left' CODEC(ZSTD(1)),
    utm_source      SimpleAggregateFunction(max, String) COMMENT 'First utm_source that was not empty, behind 8 bytes of time left' CODEC(ZSTD(1)),
    utm_medium      SimpleAggregateFunction(max, String) COMMENT 'First utm_medium that was not empty, behind 8 bytes of time left' CODEC(ZSTD(1)),
    utm_campaign    SimpleAggregateFunction(max, String) COMMENT 'First utm_campaign that was not empty, behind 8 bytes of time left' CODEC(ZSTD(1)),
    country         SimpleAggregateFunction(max, String) COMMENT 'First known country, behind 8 bytes of time left' CODEC(ZSTD(1)),
    device          SimpleAggregateFunction(max, String) COMMENT 'First known device class, behind 8 bytes of time left' CODEC(ZSTD(1)),
    browser         SimpleAggregateFunction(max, String) COMMENT 'First known browser family, behind 8 bytes of time left' CODEC(ZSTD(1)),
    os              SimpleAggregateFunction(max, String) COMMENT 'First known operating system family, behind 8 bytes of time left' CODEC(ZSTD(1)),
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
COMMENT 'One session each, as values that merge. Analysts read v_sessions'
