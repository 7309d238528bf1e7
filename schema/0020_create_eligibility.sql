-- Idempotent: yes. Rewrites data: no. Safe while the collector runs: yes.
-- Written by the aggregator; the last verdict of each visitor. Read with FINAL.
CREATE TABLE IF NOT EXISTS {database}.eligibility{cluster}
(
    site        LowCardinality(String) COMMENT 'Site id',
    visitor     FixedString(16) COMMENT 'Visitor' CODEC(ZSTD(1)),
    environment LowCardinality(String) COMMENT 'Environment of the site',
    decided_at  DateTime64(3, 'UTC') COMMENT 'When the verdict was given' CODEC(Delta, ZSTD(1)),
    eligible    UInt8 COMMENT '1 = an offer was given',
    offer       LowCardinality(String) COMMENT 'Offer id; empty = none',
    rule        String COMMENT 'Offer and version of its rule, as welcome-back@3f2a9c1d' CODEC(ZSTD(1)),
    arm         LowCardinality(String) COMMENT 'treatment or holdout; empty = not drawn',
    reason      LowCardinality(String) COMMENT 'Why: TARGETING_MATCH, HOLDOUT, COOLDOWN, DEFAULT ...',
    valid_until DateTime64(3, 'UTC') COMMENT 'End of the grant; 1970 = none' CODEC(ZSTD(1)),
    fresh_at    DateTime64(3, 'UTC') COMMENT 'When the features were read, or up to when the changes are known to be complete, if that is later. An acknowledged event that is not loaded yet is not in them' CODEC(ZSTD(1)),
    expires     Date COMMENT 'Day on which the row is deleted, by the profile retention of the site'
)
ENGINE = ReplacingMergeTree(decided_at)
ORDER BY (site, visitor)
TTL expires
SETTINGS non_replicated_deduplication_window = 100000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800,
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    merge_with_ttl_timeout = 3600,
    index_granularity = 256
COMMENT 'Last verdict for each visitor'
