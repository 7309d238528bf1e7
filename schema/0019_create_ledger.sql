-- Idempotent: yes. Rewrites data: no. Safe while the collector runs: yes.
-- Written by the loader with each batch; read with FINAL, as a batch sent again writes the same rows
-- again. The /ledger of a collector shows what is not here yet.
CREATE TABLE IF NOT EXISTS {database}.ledger{cluster}
(
    site    LowCardinality(String) COMMENT 'Site id; empty where a record that cannot be read was counted',
    minute  DateTime('UTC') COMMENT 'Minute in which it was counted, by the clock of the collector' CODEC(Delta, ZSTD(1)),
    reason  LowCardinality(String) COMMENT 'What became of them: accepted = stored + duplicate + dropped:too-old ...; dead-letter and lost are among the stored ones and are no rows',
    spool   FixedString(16) COMMENT 'Spool that counted' CODEC(ZSTD(1)),
    segment UInt64 COMMENT 'Segment that carried the count' CODEC(Delta, ZSTD(1)),
    n       UInt64 COMMENT 'Events; sum over spool and segment' CODEC(T64, ZSTD(1)),
    expires Date DEFAULT toDate(minute) + 395 COMMENT 'Day on which the row is deleted'
)
ENGINE = ReplacingMergeTree
ORDER BY (site, minute, reason, spool, segment)
TTL expires
SETTINGS non_replicated_deduplication_window = 100000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800,
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    merge_with_ttl_timeout = 3600
COMMENT 'What became of every event that was sent to us'
