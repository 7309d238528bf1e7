-- Idempotent: yes. Rewrites data: no. Safe while the collector runs: yes.
-- Written from the spool of the aggregator; read by v_decisions and, with a visitor's profile, by the
-- aggregator (grants and cooldowns). A segment that is sent again replaces its own rows.
CREATE TABLE IF NOT EXISTS {database}.decisions{cluster}
(
    site         LowCardinality(String) COMMENT 'Site id',
    environment  LowCardinality(String) COMMENT 'Environment of the site',
    decided_at   DateTime64(3, 'UTC') COMMENT 'When the first of the folded requests was answered' CODEC(Delta, ZSTD(1)),
    decision_id  FixedString(16) COMMENT 'Keyed hash of visitor, offer, rule version and session; zero bytes = no offer in question' CODEC(ZSTD(1)),
    visitor      FixedString(16) COMMENT 'Visitor; zero bytes = none, as for offers to everyone' CODEC(ZSTD(1)),
    session      FixedString(16) COMMENT 'Session; zero bytes = none' CODEC(ZSTD(1)),
    lane         LowCardinality(String) COMMENT 'Lane of the request: count, measure or decide',
    offer        LowCardinality(String) COMMENT 'Offer that won or was withheld; empty = none',
    rule         String COMMENT 'Offer and version of its rule, as welcome-back@3f2a9c1d' CODEC(ZSTD(1)),
    arm          LowCardinality(String) COMMENT 'treatment or holdout; empty = not drawn',
    reason       LowCardinality(String) COMMENT 'Why: TARGETING_MATCH, HOLDOUT, COOLDOWN, DEFAULT ...',
    eligible     UInt8 COMMENT '1 = the offer was given',
    first_serve  UInt8 COMMENT '1 = first serve of a grant, or of an assignment to the holdout: the row that starts valid_for and cooldown',
    personalised UInt8 COMMENT '1 = visitor data was used; 0 = an offer to everyone',
    valid_until  DateTime64(3, 'UTC') COMMENT 'End of the grant; 1970 = none' CODEC(ZSTD(1)),
    fresh_at     DateTime64(3, 'UTC') COMMENT 'When the features were read, or up to when the changes are known to be complete, if that is later. An acknowledged event that is not loaded yet is not in them' CODEC(ZSTD(1)),
    gates        Array(Tuple(gate LowCardinality(String), pass UInt8, detail String)) COMMENT 'Every gate in order, whether it let pass, and what it compared' CODEC(ZSTD(1)),
    features     Map(LowCardinality(String), String) COMMENT 'Features that the rules of the site read, with their values' CODEC(ZSTD(1)),
    repeats      UInt32 COMMENT 'Further requests of this minute with the same verdict' CODEC(T64, ZSTD(1)),
    spool        FixedString(16) COMMENT 'Spool the row waited in' CODEC(ZSTD(1)),
    segment      UInt64 COMMENT 'Segment of that spool' CODEC(Delta, ZSTD(1)),
    sequence     UInt64 COMMENT 'Number of the record in that spool' CODEC(Delta, ZSTD(1)),
    expires      Date COMMENT 'Day on which the row is deleted, by the retention of the site'
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(decided_at)
ORDER BY (site, visitor, decided_at, decision_id, spool, segment, sequence)
TTL expires
SETTINGS non_replicated_deduplication_window = 100000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800,
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    merge_with_ttl_timeout = 3600,
    index_granularity = 512
COMMENT 'Why each visitor got an offer, or none. Analysts read v_decisions'
