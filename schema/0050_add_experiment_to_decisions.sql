-- Idempotent: yes. Rewrites data: no. Safe while the collector runs: yes.
-- Read by report_lift: what a visitor was assigned to, and how large the holdout was then. Both arms have both.
ALTER TABLE {database}.decisions{cluster}
    ADD COLUMN IF NOT EXISTS experiment UInt32 COMMENT 'Number of the experiment of that offer, part of the draw; 0 = none was drawn for' CODEC(ZSTD(1)) AFTER arm,
    ADD COLUMN IF NOT EXISTS holdout Float64 COMMENT 'Share of the holdout of that offer at that time, 0 to 1' CODEC(ZSTD(1)) AFTER experiment
