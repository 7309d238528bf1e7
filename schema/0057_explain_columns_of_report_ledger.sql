-- Idempotent: yes. Rewrites data: no. Safe while the collector runs: yes.
-- As before, and each column explained.
-- Holds the ledger against the events themselves, batch by batch: both name spool and segment. A batch
-- belongs to the day of its last minute. Reads every event of the days in question.
-- An event that vanished from ClickHouse is gone like one that expired or was erased: only who knows the retention
-- and the erasures can tell them apart, so both columns are asked for.
-- SELECT * FROM report_ledger(since = '2026-11-01', until = '2026-11-30') WHERE unexplained != 0 OR gone != 0
CREATE OR REPLACE VIEW {database}.report_ledger{cluster}
(
    site         LowCardinality(String) COMMENT 'Site id; empty = damaged on the disk of a collector before its site could be read',
    day          Date COMMENT 'Day (UTC) of the last minute that the batch counted',
    accepted     Int64 COMMENT 'Events that a collector answered for',
    stored       Int64 COMMENT 'Of these, written to its disk, to come to ClickHouse once',
    duplicates   Int64 COMMENT 'Of these, known already and not stored again',
    dropped      Int64 COMMENT 'Of these, not stored for a reason that the reply named',
    dead_letters Int64 COMMENT 'Of the stored ones, refused by the loader and kept in a file of the collector',
    lost         Int64 COMMENT 'Of the stored ones, damaged on the disk of a collector',
    still_there  Int64 COMMENT 'Rows of these batches in events now',
    gone         Int64 COMMENT 'stored less dead_letters less still_there: expired, erased, lost, or missing',
    unexplained  Int64 COMMENT 'accepted less stored, duplicates and dropped: anything but 0 is a fault'
)
AS
WITH
    batches AS
    (
        SELECT spool, segment, toDate(max(minute)) AS day
        FROM {database}.ledger
        WHERE minute >= toDateTime({since:Date}, 'UTC') - INTERVAL 1 DAY AND minute < toDateTime({until:Date}, 'UTC') + INTERVAL 2 DAY
        GROUP BY spool, segment
        HAVING day BETWEEN {since:Date} AND {until:Date}
    ),
    counted AS
    (
        SELECT
            l.site AS site,
            b.day AS day,
            toInt64(sumIf(l.n, l.reason = 'accepted')) AS accepted,
            toInt64(sumIf(l.n, l.reason = 'stored')) AS stored,
            toInt64(sumIf(l.n, l.reason = 'duplicate')) AS duplicates,
            toInt64(sumIf(l.n, l.reason NOT IN ('accepted', 'stored', 'duplicate', 'dead-letter', 'lost'))) AS dropped,
            toInt64(sumIf(l.n, l.reason = 'dead-letter')) AS dead_letters,
            toInt64(sumIf(l.n, l.reason = 'lost')) AS lost
        FROM {database}.ledger AS l FINAL
        INNER JOIN batches AS b ON l.spool = b.spool AND l.segment = b.segment
        GROUP BY site, day
    ),
    found AS
    (
        SELECT e.site AS site, b.day AS day, toInt64(count()) AS rows
        FROM {database}.events AS e
        INNER JOIN batches AS b ON e.spool = b.spool AND e.segment = b.segment
        GROUP BY site, day
    )
SELECT
    c.site AS site,
    c.day AS day,
    c.accepted AS accepted,
    c.stored AS stored,
    c.duplicates AS duplicates,
    c.dropped AS dropped,
    c.dead_letters AS dead_letters,
    c.lost AS lost,
    f.rows AS still_there,
    c.stored - c.dead_letters - f.rows AS gone,
    c.accepted - c.stored - c.duplicates - c.dropped AS unexplained
FROM counted AS c
LEFT JOIN found AS f ON c.site = f.site AND c.day = f.day
COMMENT 'The ledger by site and day (UTC, both included) held against the events: accepted = stored + duplicates + dropped, or else unexplained is not 0; stored = dead_letters + still_there + gone. gone is what has expired, was erased, was damaged on the disk of a collector (that is lost, in a row without a site), or is missing: within the retention and without erasures, more gone than lost is a loss'
