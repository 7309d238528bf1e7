-- Idempotent: yes. Rewrites data: no. Safe while the collector runs: yes.
-- Read by every collector and aggregator, each second, for what other hosts were told; filled by feed_suppressed.
-- By month of added_at, so that the question "what is new" reads the parts of this month only.
CREATE TABLE IF NOT EXISTS {database}.suppressed{cluster}
(
    site         LowCardinality(String) COMMENT 'Site id',
    suppress_key FixedString(16) COMMENT 'Second keyed hash of the visitor: names nobody in any other table once the consent row is gone' CODEC(ZSTD(1)),
    cause        LowCardinality(String) COMMENT 'opt-out, or denied: a consent was withdrawn',
    at           DateTime64(3, 'UTC') COMMENT 'When the collector was told' CODEC(ZSTD(1)),
    added_at     DateTime64(3, 'UTC') COMMENT 'When this row was written, by the clock of the server' CODEC(Delta, ZSTD(1)),
    expires      Date COMMENT 'Day on which the row is deleted: no cookie of that visitor can be valid any more'
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(added_at)
ORDER BY (site, suppress_key)
TTL expires
SETTINGS non_replicated_deduplication_window = 100000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800,
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    merge_with_ttl_timeout = 3600
COMMENT 'Visitors who opted out or withdrew: nobody to any collector or aggregator'
