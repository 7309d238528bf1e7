-- Idempotent: yes. Rewrites data: no. Safe while the collector runs: yes. Run at every start.
-- Read by schema.Apply: a file that is noted here is not run again, and may not have changed since.
CREATE TABLE IF NOT EXISTS {database}.schema_files{cluster}
(
    name       String COMMENT 'File name in schema/',
    sha256     String COMMENT 'SHA-256 of its text when it was applied, hexadecimal',
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When it was applied'
)
ENGINE = ReplacingMergeTree
ORDER BY name
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Schema files that were applied to this database'
