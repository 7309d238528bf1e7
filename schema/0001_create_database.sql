-- Idempotent: yes. Rewrites data: no. Safe while the collector runs: yes. Run at every start.
CREATE DATABASE IF NOT EXISTS {database}{cluster}
