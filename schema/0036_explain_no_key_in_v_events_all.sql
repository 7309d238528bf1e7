-- Idempotent: yes. Rewrites data: no, a comment only. Safe while the collector runs: yes.
ALTER TABLE {database}.v_events_all{cluster}
COMMENT COLUMN cause 'Why it is in that lane: default, country, choice, recorded, denied, gpc, dnt, opt-out, no-key (lane measure without the key of the day)'
