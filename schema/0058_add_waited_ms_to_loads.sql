-- Idempotent: yes. Rewrites data: no. Safe while the collector runs: yes.
-- Read by the aggregator: a batch that waited for long is part of a backlog. By one clock, so that a wrong one of a
-- collector makes no batch late.
ALTER TABLE {database}.loads{cluster}
    ADD COLUMN IF NOT EXISTS waited_ms UInt64 COMMENT 'Milliseconds between its last row and this one, both by the clock of the sender' CODEC(T64, ZSTD(1)) AFTER last_received
