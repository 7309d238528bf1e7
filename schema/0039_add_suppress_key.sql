-- Idempotent: yes. Rewrites data: no. Safe while the collector runs: yes.
-- Read by feed_suppressed. In `events`, and not only in the file of a host, so that a withdrawal takes the way of
-- all events: durable before it is answered, in ClickHouse once.
ALTER TABLE {database}.events{cluster}
    ADD COLUMN IF NOT EXISTS suppress_key FixedString(16) COMMENT 'Of a consent row that withdraws: second keyed hash of the visitor, as in suppressed; zero bytes = none' CODEC(ZSTD(1)) AFTER consent_at
