-- Idempotent: yes. Rewrites data: no. Safe while the collector runs: yes.
-- An insert of a full segment (8 MiB, about 11 MB of columns) made a part with files of its own for each of the 60
-- columns, every one of which is synced before the loader hears that it is in. Below this size a part is one file.
ALTER TABLE {database}.events{cluster} MODIFY SETTING min_bytes_for_wide_part = 33554432
