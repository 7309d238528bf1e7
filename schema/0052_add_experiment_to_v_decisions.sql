-- Idempotent: yes. Rewrites data: no. Safe while the collector runs: yes.
-- As before, and experiment and holdout.
CREATE OR REPLACE VIEW {database}.v_decisions{cluster}
(
    site         LowCardinality(String) COMMENT 'Site id',
    environment  LowCardinality(String) COMMENT 'production, staging ... of sites.yaml',
    decided_at   DateTime64(3, 'UTC') COMMENT 'When the first of the folded requests was answered',
    decision_id  String COMMENT 'As in the reply and the token, 32 hexadecimal digits; empty = no offer in question',
    visitor      String COMMENT 'Visitor, 32 hexadecimal digits; empty = none',
    session      String COMMENT 'Session, 32 hexadecimal digits; empty = none',
    lane         LowCardinality(String) COMMENT 'Lane of the request: count, measure or decide',
    offer        LowCardinality(String) COMMENT 'Offer that won or was withheld; empty = none',
    rule         String COMMENT 'Offer and version of its rule',
    arm          LowCardinality(String) COMMENT 'treatment or holdout; empty = not drawn',
    experiment   UInt32 COMMENT 'Number of the experiment of that offer, part of the draw; 0 = none was drawn for',
    holdout      Float64 COMMENT 'Share of the holdout of that offer at that time, 0 to 1',
    reason       LowCardinality(String) COMMENT 'Why: TARGETING_MATCH, HOLDOUT, COOLDOWN, DEFAULT ...',
    eligible     UInt8 COMMENT '1 = the offer was given',
    first_serve  UInt8 COMMENT '1 = first serve of a grant, or of an assignment to the holdout: count these for lift',
    personalised UInt8 COMMENT '1 = visitor data was used',
    valid_until  Nullable(DateTime64(3, 'UTC')) COMMENT 'End of the grant; NULL = none',
    fresh_at     Nullable(DateTime64(3, 'UTC')) COMMENT 'When the features were read, or up to when the changes are known to be complete, if that is later. An acknowledged event that is not loaded yet is not in them; NULL = no features were used',
    gates        Array(Tuple(gate LowCardinality(String), pass UInt8, detail String)) COMMENT 'Every gate in order, whether it let pass, and what it compared; of an offer to everyone only its own',
    features     Map(LowCardinality(String), String) COMMENT 'Features that the rules of the site read, with their values',
    repeats      UInt32 COMMENT 'Further requests of this minute with the same verdict'
)
AS
SELECT *
FROM {database}.v_decisions_all
WHERE environment = 'production'
COMMENT 'Decisions, each explained: rule, gates, the values that were compared'
