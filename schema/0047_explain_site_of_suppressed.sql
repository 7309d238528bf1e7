-- Idempotent: yes. Rewrites data: no, a comment only. Safe while the collector runs: yes.
ALTER TABLE {database}.suppressed{cluster}
COMMENT COLUMN site 'Site id; empty = told from the list of a host, because the row of the withdrawal did not come'
