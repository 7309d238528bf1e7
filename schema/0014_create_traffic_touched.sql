-- Idempotent: yes. Rewrites data: no. Safe while the collector runs: yes.
-- Read by refresh_traffic: which quarter hours got events since they were last counted.
CREATE TABLE IF NOT EXISTS {database}.traffic_touched{cluster}
(
    site        LowCardinality(String) COMMENT 'Site id',
    environment LowCardinality(String) COMMENT 'Environment of the site',
    bucket      DateTime('UTC') COMMENT 'Start of a quarter of an hour, by occurred_at' CODEC(Delta, ZSTD(1)),
    touched_at  DateTime('UTC') COMMENT 'When the last insert with events of that quarter began' CODEC(Delta, ZSTD(1)),
    expires     Date COMMENT 'Day on which the row is deleted'
)
ENGINE = ReplacingMergeTree(touched_at)
ORDER BY (site, environment, bucket)
TTL expires
SETTINGS non_replicated_deduplication_window = 100000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800,
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    merge_with_ttl_timeout = 3600
COMMENT 'Quarter hours that traffic has to count again'
