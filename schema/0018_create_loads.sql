-- Idempotent: yes. Rewrites data: no. Safe while the collector runs: yes.
-- Written by the loader after a batch and all its views are in; read by the aggregator (what is new).
-- The row of a segment that is sent again replaces the first.
CREATE TABLE IF NOT EXISTS {database}.loads{cluster}
(
    table_name     LowCardinality(String) COMMENT 'Table the batch went to: events or decisions',
    spool          FixedString(16) COMMENT 'Spool of the batch' CODEC(ZSTD(1)),
    segment        UInt64 COMMENT 'Segment of that spool' CODEC(Delta, ZSTD(1)),
    rows           UInt64 COMMENT 'Rows in the batch' CODEC(T64, ZSTD(1)),
    first_received DateTime64(3, 'UTC') COMMENT 'received_at of its first row' CODEC(Delta, ZSTD(1)),
    last_received  DateTime64(3, 'UTC') COMMENT 'received_at of its last row' CODEC(Delta, ZSTD(1)),
    loaded_at      DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When this row was written, by the clock of the server' CODEC(Delta, ZSTD(1)),
    expires        Date DEFAULT today() + 90 COMMENT 'Day on which the row is deleted',

    INDEX by_time loaded_at TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree
ORDER BY (table_name, spool, segment)
TTL expires
SETTINGS non_replicated_deduplication_window = 100000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800,
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    merge_with_ttl_timeout = 3600
COMMENT 'Batches that are completely in ClickHouse'
