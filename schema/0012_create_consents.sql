-- Idempotent: yes. Rewrites data: no. Safe while the collector runs: yes.
-- Read by whoever has to prove a consent. One row for each change of a choice.
CREATE TABLE IF NOT EXISTS {database}.consents{cluster}
(
    site        LowCardinality(String) COMMENT 'Site id',
    visitor     FixedString(16) COMMENT 'Visitor whose choice it is, also of one that withdraws; a denial without a cookie leaves no row' CODEC(ZSTD(1)),
    at          DateTime64(3, 'UTC') COMMENT 'When the choice was made' CODEC(ZSTD(1)),
    event_id    FixedString(16) COMMENT 'UUIDv7 of the record' CODEC(ZSTD(1)),
    environment LowCardinality(String) COMMENT 'Environment of the site',
    choice      LowCardinality(String) COMMENT 'Lane that was chosen: count, measure or decide',
    lane        LowCardinality(String) COMMENT 'Lane that was granted; lower than the choice where GPC, DNT or the site say so',
    cause       LowCardinality(String) COMMENT 'Why that lane was granted',
    source      LowCardinality(String) COMMENT 'Banner or interface the choice came from',
    policy      LowCardinality(String) COMMENT 'Version of the policy text that was shown',
    country     LowCardinality(String) COMMENT 'Country the choice was made in; empty = unknown',
    recorded_at DateTime64(3, 'UTC') COMMENT 'When the collector recorded it' CODEC(ZSTD(1)),
    expires     Date COMMENT 'Day on which the row is deleted: the later of event and profile retention'
)
ENGINE = ReplacingMergeTree
ORDER BY (site, visitor, at, event_id)
TTL expires
SETTINGS non_replicated_deduplication_window = 100000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800,
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    merge_with_ttl_timeout = 3600
COMMENT 'Who consented to what, when, through which text'
