-- Idempotent: yes. Rewrites data: no. Safe while the collector runs: yes.
-- Read by the aggregator, batch by batch: it follows `loads`, whose row comes after all views of a batch,
-- and reads here whose features that batch changed. Kept for three days: an aggregator that
-- could not look for two forgets everybody and reads them again.
CREATE TABLE IF NOT EXISTS {database}.visitor_changes{cluster}
(
    spool     FixedString(16) COMMENT 'Spool of the batch' CODEC(ZSTD(1)),
    segment   UInt64 COMMENT 'Segment of that spool: one segment is one batch' CODEC(Delta, ZSTD(1)),
    site      LowCardinality(String) COMMENT 'Site id',
    visitor   FixedString(16) COMMENT 'Visitor with new activity; zero bytes where a server reported an order without naming a visitor' CODEC(ZSTD(1)),
    order_key FixedString(16) COMMENT 'That order, whose visitor the table orders knows; zero bytes where visitor is set' CODEC(ZSTD(1)),
    expires   Date COMMENT 'Day on which the row is deleted'
)
ENGINE = ReplacingMergeTree
ORDER BY (spool, segment, site, visitor, order_key)
TTL expires
SETTINGS non_replicated_deduplication_window = 100000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800,
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    merge_with_ttl_timeout = 3600
COMMENT 'Which visitors changed in which batch'
