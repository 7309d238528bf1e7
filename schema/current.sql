-- Printed by the server after all numbered files. Do not edit: `make schema` writes it.

CREATE TABLE beckon.consents
(
    `site` LowCardinality(String) COMMENT 'Site id',
    `visitor` FixedString(16) COMMENT 'Visitor whose choice it is, also of one that withdraws; a denial without a cookie leaves no row' CODEC(ZSTD(1)),
    `at` DateTime64(3, 'UTC') COMMENT 'When the choice was made' CODEC(ZSTD(1)),
    `event_id` FixedString(16) COMMENT 'UUIDv7 of the record' CODEC(ZSTD(1)),
    `environment` LowCardinality(String) COMMENT 'Environment of the site',
    `choice` LowCardinality(String) COMMENT 'Lane that was chosen: count, measure or decide',
    `lane` LowCardinality(String) COMMENT 'Lane that was granted; lower than the choice where GPC, DNT or the site say so',
    `cause` LowCardinality(String) COMMENT 'Why that lane was granted',
    `source` LowCardinality(String) COMMENT 'Banner or interface the choice came from',
    `policy` LowCardinality(String) COMMENT 'Version of the policy text that was shown',
    `country` LowCardinality(String) COMMENT 'Country the choice was made in; empty = unknown',
    `recorded_at` DateTime64(3, 'UTC') COMMENT 'When the collector recorded it' CODEC(ZSTD(1)),
    `expires` Date COMMENT 'Day on which the row is deleted: the later of event and profile retention'
)
ENGINE = ReplacingMergeTree
ORDER BY (site, visitor, at, event_id)
TTL expires
SETTINGS non_replicated_deduplication_window = 100000, replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800, fsync_after_insert = 1, fsync_part_directory = 1, merge_with_ttl_timeout = 3600, index_granularity = 8192
COMMENT 'Who consented to what, when, through which text';

CREATE TABLE beckon.decisions
(
    `site` LowCardinality(String) COMMENT 'Site id',
    `environment` LowCardinality(String) COMMENT 'Environment of the site',
    `decided_at` DateTime64(3, 'UTC') COMMENT 'When the first of the folded requests was answered' CODEC(Delta(8), ZSTD(1)),
    `decision_id` FixedString(16) COMMENT 'Keyed hash of visitor, offer, rule version and session; zero bytes = no offer in question' CODEC(ZSTD(1)),
    `visitor` FixedString(16) COMMENT 'Visitor; zero bytes = none, as for offers to everyone' CODEC(ZSTD(1)),
    `session` FixedString(16) COMMENT 'Session; zero bytes = none' CODEC(ZSTD(1)),
    `lane` LowCardinality(String) COMMENT 'Lane of the request: count, measure or decide',
    `offer` LowCardinality(String) COMMENT 'Offer that won or was withheld; empty = none',
    `rule` String COMMENT 'Offer and version of its rule, as welcome-back@3f2a9c1d' CODEC(ZSTD(1)),
    `arm` LowCardinality(String) COMMENT 'treatment or holdout; empty = not drawn',
    `experiment` UInt32 COMMENT 'Number of the experiment of that offer, part of the draw; 0 = none was drawn for' CODEC(ZSTD(1)),
    `holdout` Float64 COMMENT 'Share of the holdout of that offer at that time, 0 to 1' CODEC(ZSTD(1)),
    `reason` LowCardinality(String) COMMENT 'Why: TARGETING_MATCH, HOLDOUT, COOLDOWN, DEFAULT ...',
    `eligible` UInt8 COMMENT '1 = the offer was given',
    `first_serve` UInt8 COMMENT '1 = first serve of a grant, or of an assignment to the holdout: the row that starts valid_for and cooldown',
    `personalised` UInt8 COMMENT '1 = visitor data was used; 0 = an offer to everyone',
    `valid_until` DateTime64(3, 'UTC') COMMENT 'End of the grant; 1970 = none' CODEC(ZSTD(1)),
    `fresh_at` DateTime64(3, 'UTC') COMMENT 'When the features were read, or up to when the changes are known to be complete, if that is later. An acknowledged event that is not loaded yet is not in them' CODEC(ZSTD(1)),
    `gates` Array(Tuple(
        gate LowCardinality(String),
        pass UInt8,
        detail String)) COMMENT 'Every gate in order, whether it let pass, and what it compared' CODEC(ZSTD(1)),
    `features` Map(LowCardinality(String), String) COMMENT 'Features that the rules of the site read, with their values' CODEC(ZSTD(1)),
    `repeats` UInt32 COMMENT 'Further requests of this minute with the same verdict' CODEC(T64, ZSTD(1)),
    `spool` FixedString(16) COMMENT 'Spool the row waited in' CODEC(ZSTD(1)),
    `segment` UInt64 COMMENT 'Segment of that spool' CODEC(Delta(8), ZSTD(1)),
    `sequence` UInt64 COMMENT 'Number of the record in that spool' CODEC(Delta(8), ZSTD(1)),
    `expires` Date COMMENT 'Day on which the row is deleted, by the retention of the site'
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(decided_at)
ORDER BY (site, visitor, decided_at, decision_id, spool, segment, sequence)
TTL expires
SETTINGS non_replicated_deduplication_window = 100000, replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800, fsync_after_insert = 1, fsync_part_directory = 1, merge_with_ttl_timeout = 3600, index_granularity = 512
COMMENT 'Why each visitor got an offer, or none. Analysts read v_decisions';

CREATE TABLE beckon.eligibility
(
    `site` LowCardinality(String) COMMENT 'Site id',
    `visitor` FixedString(16) COMMENT 'Visitor' CODEC(ZSTD(1)),
    `environment` LowCardinality(String) COMMENT 'Environment of the site',
    `decided_at` DateTime64(3, 'UTC') COMMENT 'When the verdict was given' CODEC(Delta(8), ZSTD(1)),
    `eligible` UInt8 COMMENT '1 = an offer was given',
    `offer` LowCardinality(String) COMMENT 'Offer id; empty = none',
    `rule` String COMMENT 'Offer and version of its rule, as welcome-back@3f2a9c1d' CODEC(ZSTD(1)),
    `arm` LowCardinality(String) COMMENT 'treatment or holdout; empty = not drawn',
    `reason` LowCardinality(String) COMMENT 'Why: TARGETING_MATCH, HOLDOUT, COOLDOWN, DEFAULT ...',
    `valid_until` DateTime64(3, 'UTC') COMMENT 'End of the grant; 1970 = none' CODEC(ZSTD(1)),
    `fresh_at` DateTime64(3, 'UTC') COMMENT 'When the features were read, or up to when the changes are known to be complete, if that is later. An acknowledged event that is not loaded yet is not in them' CODEC(ZSTD(1)),
    `expires` Date COMMENT 'Day on which the row is deleted, by the profile retention of the site'
)
ENGINE = ReplacingMergeTree(decided_at)
ORDER BY (site, visitor)
TTL expires
SETTINGS non_replicated_deduplication_window = 100000, replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800, fsync_after_insert = 1, fsync_part_directory = 1, merge_with_ttl_timeout = 3600, index_granularity = 256
COMMENT 'Last verdict for each visitor';

CREATE TABLE beckon.events
(
    `site` LowCardinality(String) COMMENT 'Site id of sites.yaml',
    `environment` LowCardinality(String) COMMENT 'production, staging ... of sites.yaml; views show production',
    `event_id` FixedString(16) COMMENT 'UUIDv7 of the event. Once per event in v_events; here a repeat sent after the duplicate window is a second row' CODEC(ZSTD(1)),
    `kind` LowCardinality(String) COMMENT 'page_view, product_view, cart_add, purchase ...; consent rows are made by the collector when a choice changes and are no activity',
    `source` LowCardinality(String) COMMENT 'Who told us: pixel, beacon (browser), server, import, collector. Money trusts server, then import, then the browser',
    `lane` LowCardinality(String) COMMENT 'What the event may be used for: count (totals), measure (traffic reports), decide (personalised offers)',
    `cause` LowCardinality(String) COMMENT 'Why it is in that lane: default, country, choice, recorded, denied, gpc, dnt, opt-out, no-key (lane measure without the key of the day)',
    `received_at` DateTime64(3, 'UTC') COMMENT 'When the collector got it, by its own clock' CODEC(Delta(8), ZSTD(1)),
    `occurred_at` DateTime64(3, 'UTC') COMMENT 'When it happened: the sender clock, corrected and clamped to 24 h before and 5 min after received_at (server events are not clamped)' CODEC(Delta(8), ZSTD(1)),
    `visitor` FixedString(16) COMMENT 'Keyed hash of the visitor under a key of this site and lane; zero bytes = none. Cannot be joined across sites or lanes' CODEC(ZSTD(1)),
    `session` FixedString(16) COMMENT 'Keyed hash of the session; zero bytes = none' CODEC(ZSTD(1)),
    `visitor_since` DateTime64(3, 'UTC') COMMENT 'Creation of the visitor cookie; 1970 = none' CODEC(ZSTD(1)),
    `network` String COMMENT 'Truncated address: 203.0.113.0/24 or 2001:db8::/40; empty = unknown. The full address is never stored' CODEC(ZSTD(1)),
    `country` LowCardinality(String) COMMENT 'ISO 3166-1 alpha-2, looked up with the truncated address; empty = unknown',
    `region` LowCardinality(String) COMMENT 'ISO 3166-2 subdivision where the site asks for it; empty = unknown',
    `device` LowCardinality(String) COMMENT 'desktop, mobile, tablet ...; empty = unknown',
    `browser` LowCardinality(String) COMMENT 'Browser family, no version; empty = unknown',
    `os` LowCardinality(String) COMMENT 'Operating system family, no version; empty = unknown',
    `bot` UInt8 COMMENT '1 = a program. Stored and marked, left out of every visitor, report and decision',
    `bot_reason` LowCardinality(String) COMMENT 'Why it is taken for a program; empty for people',
    `path` String COMMENT 'Page path without query, personal-looking segments replaced' CODEC(ZSTD(1)),
    `referrer` LowCardinality(String) COMMENT 'Host of the referring page; empty = none or the shop itself',
    `utm_source` LowCardinality(String) COMMENT 'utm_source of the page address',
    `utm_medium` LowCardinality(String) COMMENT 'utm_medium of the page address',
    `utm_campaign` String COMMENT 'utm_campaign of the page address' CODEC(ZSTD(1)),
    `product` String COMMENT 'Product id as the shop names it' CODEC(ZSTD(1)),
    `variant` String COMMENT 'Variant id as the shop names it' CODEC(ZSTD(1)),
    `category` String COMMENT 'Product category or collection' CODEC(ZSTD(1)),
    `quantity` UInt32 COMMENT 'Units added, removed or viewed; 0 = not said' CODEC(T64, ZSTD(1)),
    `currency` LowCardinality(String) COMMENT 'ISO 4217 code of the amounts of this row; empty = none',
    `rate` Decimal(18, 8) COMMENT 'Units of the currency of the site for one unit of currency; 0 = unknown, such amounts stay out of sums and are counted' CODEC(ZSTD(1)),
    `price` Nullable(Decimal(18, 4)) COMMENT 'Price of one unit, in currency' CODEC(ZSTD(1)),
    `cart_value` Nullable(Decimal(18, 4)) COMMENT 'Value of the whole cart after this event, in currency' CODEC(ZSTD(1)),
    `value` Nullable(Decimal(18, 4)) COMMENT 'Order total net of discount, tax and shipping; of a refund the amount paid back; in currency' CODEC(ZSTD(1)),
    `discount` Nullable(Decimal(18, 4)) COMMENT 'Discount of the order, in currency' CODEC(ZSTD(1)),
    `tax` Nullable(Decimal(18, 4)) COMMENT 'Tax of the order, in currency' CODEC(ZSTD(1)),
    `shipping` Nullable(Decimal(18, 4)) COMMENT 'Shipping of the order, in currency' CODEC(ZSTD(1)),
    `items.product` Array(String) COMMENT 'Lines of the order: product ids' CODEC(ZSTD(1)),
    `items.variant` Array(String) COMMENT 'Lines of the order: variant ids' CODEC(ZSTD(1)),
    `items.quantity` Array(UInt32) COMMENT 'Lines of the order: units' CODEC(ZSTD(1)),
    `items.price` Array(Decimal(18, 4)) COMMENT 'Lines of the order: price of one unit, in currency' CODEC(ZSTD(1)),
    `order_key` FixedString(16) COMMENT 'Keyed hash of the order number; zero bytes = none' CODEC(ZSTD(1)),
    `coupon_key` FixedString(16) COMMENT 'Keyed hash of the coupon code; zero bytes = none' CODEC(ZSTD(1)),
    `customer_key` FixedString(16) COMMENT 'Keyed hash of the customer id, from servers only; zero bytes = none' CODEC(ZSTD(1)),
    `offer` LowCardinality(String) COMMENT 'Offer id of sites.yaml that was shown, accepted, dismissed or redeemed',
    `decision` String COMMENT 'decision_id that the event answers, 32 hexadecimal digits' CODEC(ZSTD(1)),
    `query_length` UInt16 COMMENT 'Length of the search text, which itself is not stored' CODEC(T64, ZSTD(1)),
    `choice` LowCardinality(String) COMMENT 'Of a consent row: the lane that was chosen',
    `consent_source` LowCardinality(String) COMMENT 'Of a consent row: the banner or interface the choice came from',
    `consent_policy` LowCardinality(String) COMMENT 'Of a consent row: version of the policy text that was shown',
    `consent_at` DateTime64(3, 'UTC') COMMENT 'Of a consent row: when the choice was made; 1970 = not a consent row' CODEC(ZSTD(1)),
    `suppress_key` FixedString(16) COMMENT 'Of a consent row that withdraws: second keyed hash of the visitor, as in suppressed; zero bytes = none' CODEC(ZSTD(1)),
    `spool` FixedString(16) COMMENT 'Spool directory the event waited in' CODEC(ZSTD(1)),
    `segment` UInt64 COMMENT 'Segment of that spool: one segment is one insert' CODEC(Delta(8), ZSTD(1)),
    `sequence` UInt64 COMMENT 'Number of the record in that spool' CODEC(Delta(8), ZSTD(1)),
    `expires` Date COMMENT 'Day on which the event is deleted, by the retention of the site',
    `profile_expires` Date COMMENT 'Day on which what was derived for the visitor is deleted',
    `cart_value_site` Nullable(Decimal(38, 4)) ALIAS if(rate > 0, CAST(round(toDecimal128(cart_value, 4) * toDecimal128(rate, 8), 4), 'Nullable(Decimal(38, 4))'), NULL) COMMENT 'cart_value in the currency of the site; NULL = no amount or no known rate',
    `value_site` Nullable(Decimal(38, 4)) ALIAS if(rate > 0, CAST(round(toDecimal128(value, 4) * toDecimal128(rate, 8), 4), 'Nullable(Decimal(38, 4))'), NULL) COMMENT 'value in the currency of the site; NULL = no amount or no known rate',
    INDEX segments segment TYPE minmax GRANULARITY 4
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(received_at)
ORDER BY (site, toDate(occurred_at), visitor, occurred_at, event_id)
TTL expires
SETTINGS non_replicated_deduplication_window = 100000, replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800, fsync_after_insert = 1, fsync_part_directory = 1, merge_with_ttl_timeout = 3600, index_granularity = 8192, min_bytes_for_wide_part = 33554432
COMMENT 'Every event as it was stored. Analysts read v_events, which shows each event once';

CREATE MATERIALIZED VIEW beckon.feed_consents TO beckon.consents
(
    `site` LowCardinality(String),
    `visitor` FixedString(16),
    `at` DateTime64(3, 'UTC'),
    `event_id` FixedString(16),
    `environment` LowCardinality(String),
    `choice` LowCardinality(String),
    `lane` LowCardinality(String),
    `cause` LowCardinality(String),
    `source` LowCardinality(String),
    `policy` LowCardinality(String),
    `country` LowCardinality(String),
    `recorded_at` DateTime64(3, 'UTC'),
    `expires` Date
)
AS SELECT
    e.site AS site,
    e.visitor AS visitor,
    e.consent_at AS at,
    e.event_id AS event_id,
    e.environment AS environment,
    e.choice AS choice,
    e.lane AS lane,
    e.cause AS cause,
    e.consent_source AS source,
    e.consent_policy AS policy,
    e.country AS country,
    e.received_at AS recorded_at,
    greatest(e.expires, e.profile_expires) AS expires
FROM beckon.events AS e
WHERE e.kind = 'consent';

CREATE MATERIALIZED VIEW beckon.feed_orders TO beckon.orders
(
    `site` LowCardinality(String),
    `order_key` FixedString(16),
    `environment` String,
    `trust` UInt8,
    `placed_at` AggregateFunction(min, DateTime64(3, 'UTC')),
    `facts` AggregateFunction(argMax, Tuple(
        Nullable(Decimal(18, 4)),
        Nullable(Decimal(18, 4)),
        Nullable(Decimal(18, 4)),
        Nullable(Decimal(18, 4)),
        String,
        Nullable(Decimal(38, 4)),
        UInt64), Tuple(
        UInt8,
        DateTime64(3, 'UTC'),
        FixedString(16))),
    `refunds` Array(Tuple(
        FixedString(16),
        Nullable(Decimal(18, 4)),
        Nullable(Decimal(38, 4)))),
    `visitor` AggregateFunction(argMax, FixedString(16), Tuple(
        UInt8,
        DateTime64(3, 'UTC'),
        FixedString(16))),
    `session` AggregateFunction(argMax, FixedString(16), Tuple(
        UInt8,
        DateTime64(3, 'UTC'),
        FixedString(16))),
    `customer_key` AggregateFunction(argMax, FixedString(16), Tuple(
        UInt8,
        DateTime64(3, 'UTC'),
        FixedString(16))),
    `coupon_key` AggregateFunction(argMax, FixedString(16), Tuple(
        UInt8,
        DateTime64(3, 'UTC'),
        FixedString(16))),
    `offer` AggregateFunction(argMax, String, Tuple(
        UInt8,
        DateTime64(3, 'UTC'),
        FixedString(16))),
    `decision` AggregateFunction(argMax, String, Tuple(
        UInt8,
        DateTime64(3, 'UTC'),
        FixedString(16))),
    `sources` Array(String),
    `expires` Date
)
AS WITH
    toUInt8(multiIf(e.source = 'server', 3, e.source = 'import', 2, 1)) AS trust_of_event
SELECT
    e.site AS site,
    e.order_key AS order_key,
    max(e.environment) AS environment,
    maxIf(trust_of_event, e.kind = 'purchase') AS trust,
    minStateIf(e.occurred_at, e.kind = 'purchase') AS placed_at,
    argMaxStateIf((e.value, e.discount, e.tax, e.shipping, CAST(e.currency, 'String'), e.value_site, arraySum(e.`items.quantity`)), (trust_of_event, e.occurred_at, e.event_id), e.kind = 'purchase') AS facts,
    groupUniqArrayIf((e.event_id, e.value, e.value_site), e.kind = 'refund') AS refunds,
    argMaxStateIf(e.visitor, (trust_of_event, e.occurred_at, e.event_id), e.visitor != toFixedString('', 16)) AS visitor,
    argMaxStateIf(e.session, (trust_of_event, e.occurred_at, e.event_id), e.session != toFixedString('', 16)) AS session,
    argMaxStateIf(e.customer_key, (trust_of_event, e.occurred_at, e.event_id), e.customer_key != toFixedString('', 16)) AS customer_key,
    argMaxStateIf(e.coupon_key, (trust_of_event, e.occurred_at, e.event_id), e.coupon_key != toFixedString('', 16)) AS coupon_key,
    argMaxStateIf(e.offer, (trust_of_event, e.occurred_at, e.event_id), e.offer != '') AS offer,
    argMaxStateIf(e.decision, (trust_of_event, e.occurred_at, e.event_id), e.decision != '') AS decision,
    groupUniqArrayIf(CAST(e.source, 'String'), e.kind = 'purchase') AS sources,
    max(e.expires) AS expires
FROM beckon.events AS e
WHERE (e.bot = 0) AND (e.kind IN ('purchase', 'refund')) AND (e.order_key != toFixedString('', 16))
GROUP BY
    site,
    order_key;

CREATE MATERIALIZED VIEW beckon.feed_sessions TO beckon.sessions
(
    `site` LowCardinality(String),
    `session` FixedString(16),
    `environment` String,
    `visitor` FixedString(16),
    `started_at` DateTime64(3, 'UTC'),
    `ended_at` DateTime64(3, 'UTC'),
    `events` Array(UInt64),
    `orders` Array(FixedString(16)),
    `entry_path` String,
    `exit_path` String,
    `referrer` String,
    `utm_source` String,
    `utm_medium` String,
    `utm_campaign` String,
    `country` String,
    `device` String,
    `browser` String,
    `os` String,
    `expires` Date
)
AS WITH
    reverse(reinterpretAsFixedString(toUInt64(100000000000000 + toUnixTimestamp64Milli(e.occurred_at)))) AS later,
    reverse(reinterpretAsFixedString(toUInt64((100000000000000 - toUnixTimestamp64Milli(e.occurred_at)) + if(e.kind = 'consent', 86400000, 0)))) AS sooner,
    bitOr(bitShiftLeft(sipHash64(e.event_id), 3), toUInt64(transform(e.kind, ['page_view', 'product_view', 'cart_add', 'checkout_start'], [1, 2, 3, 4], 0))) AS what
SELECT
    e.site AS site,
    e.session AS session,
    max(e.environment) AS environment,
    max(e.visitor) AS visitor,
    min(e.occurred_at) AS started_at,
    max(e.occurred_at) AS ended_at,
    groupUniqArrayIf(what, e.kind != 'consent') AS events,
    groupUniqArrayIf(e.order_key, (e.kind = 'purchase') AND (e.order_key != toFixedString('', 16))) AS orders,
    maxIf(concat(sooner, e.path), e.path != '') AS entry_path,
    maxIf(concat(later, e.path), e.path != '') AS exit_path,
    maxIf(concat(sooner, e.referrer), e.referrer != '') AS referrer,
    maxIf(concat(sooner, e.utm_source), e.utm_source != '') AS utm_source,
    maxIf(concat(sooner, e.utm_medium), e.utm_medium != '') AS utm_medium,
    maxIf(concat(sooner, e.utm_campaign), e.utm_campaign != '') AS utm_campaign,
    maxIf(concat(sooner, e.country), e.country != '') AS country,
    maxIf(concat(sooner, e.device), e.device != '') AS device,
    maxIf(concat(sooner, e.browser), e.browser != '') AS browser,
    maxIf(concat(sooner, e.os), e.os != '') AS os,
    max(e.expires) AS expires
FROM beckon.events AS e
WHERE (e.lane = 'decide') AND (e.bot = 0) AND (e.session != toFixedString('', 16))
GROUP BY
    site,
    session;

CREATE MATERIALIZED VIEW beckon.feed_suppressed TO beckon.suppressed
(
    `site` LowCardinality(String),
    `suppress_key` FixedString(16),
    `cause` String,
    `at` DateTime64(3, 'UTC'),
    `added_at` DateTime64(3, 'UTC'),
    `expires` Date
)
AS SELECT
    e.site AS site,
    e.suppress_key AS suppress_key,
    if(e.cause = 'opt-out', 'opt-out', 'denied') AS cause,
    e.received_at AS at,
    now64(3, 'UTC') AS added_at,
    toDate(e.received_at) + 396 AS expires
FROM beckon.events AS e
WHERE (e.kind = 'consent') AND (e.suppress_key != toFixedString('', 16));

CREATE MATERIALIZED VIEW beckon.feed_traffic_touched TO beckon.traffic_touched
(
    `site` LowCardinality(String),
    `environment` LowCardinality(String),
    `bucket` DateTime('UTC'),
    `touched_at` DateTime('UTC'),
    `expires` Date
)
AS SELECT
    e.site AS site,
    e.environment AS environment,
    toStartOfFifteenMinutes(e.occurred_at) AS bucket,
    now('UTC') AS touched_at,
    today() + 7 AS expires
FROM beckon.events AS e
WHERE e.kind != 'consent'
GROUP BY
    site,
    environment,
    bucket;

CREATE MATERIALIZED VIEW beckon.feed_visitor_activity TO beckon.visitor_activity
(
    `site` LowCardinality(String),
    `visitor` FixedString(16),
    `hour` DateTime('UTC'),
    `environment` String,
    `events` Array(UInt64),
    `sessions` Array(FixedString(16)),
    `products` Array(UInt64),
    `orders` Array(FixedString(16)),
    `first_seen` DateTime64(3, 'UTC'),
    `last_seen` DateTime64(3, 'UTC'),
    `last_cart` DateTime64(3, 'UTC'),
    `visitor_since` DateTime64(3, 'UTC'),
    `cart_value` String,
    `country` String,
    `region` String,
    `device` String,
    `browser` String,
    `os` String,
    `referrer` String,
    `utm_source` String,
    `utm_medium` String,
    `utm_campaign` String,
    `expires` Date
)
AS WITH
    reverse(reinterpretAsFixedString(toUInt64(100000000000000 + toUnixTimestamp64Milli(e.occurred_at)))) AS later,
    bitOr(bitShiftLeft(sipHash64(e.event_id), 3), toUInt64(transform(e.kind, ['page_view', 'product_view', 'cart_add', 'checkout_start'], [1, 2, 3, 4], 0))) AS what
SELECT
    e.site AS site,
    e.visitor AS visitor,
    toStartOfHour(e.occurred_at) AS hour,
    max(e.environment) AS environment,
    groupUniqArrayIf(what, e.kind != 'consent') AS events,
    groupUniqArrayIf(e.session, (e.kind != 'consent') AND (e.session != toFixedString('', 16))) AS sessions,
    groupUniqArrayIf(sipHash64(e.product), (e.kind = 'product_view') AND (e.product != '')) AS products,
    groupUniqArrayIf(e.order_key, (e.kind = 'purchase') AND (e.order_key != toFixedString('', 16))) AS orders,
    min(e.occurred_at) AS first_seen,
    max(e.occurred_at) AS last_seen,
    maxIf(e.occurred_at, (e.kind IN ('cart_add', 'checkout_start'))) AS last_cart,
    max(e.visitor_since) AS visitor_since,
    maxIf(concat(later, e.event_id, if(e.kind = 'purchase', '0', toString(assumeNotNull(e.cart_value_site)))), (e.kind = 'purchase') OR (e.cart_value_site IS NOT NULL)) AS cart_value,
    maxIf(concat(later, e.country), e.country != '') AS country,
    maxIf(concat(later, e.region), e.region != '') AS region,
    maxIf(concat(later, e.device), e.device != '') AS device,
    maxIf(concat(later, e.browser), e.browser != '') AS browser,
    maxIf(concat(later, e.os), e.os != '') AS os,
    maxIf(concat(later, e.referrer), e.referrer != '') AS referrer,
    maxIf(concat(later, e.utm_source), e.utm_source != '') AS utm_source,
    maxIf(concat(later, e.utm_medium), e.utm_medium != '') AS utm_medium,
    maxIf(concat(later, e.utm_campaign), e.utm_campaign != '') AS utm_campaign,
    max(e.profile_expires) AS expires
FROM beckon.events AS e
WHERE (e.lane = 'decide') AND (e.bot = 0) AND ((e.kind != 'consent') OR (e.session != toFixedString('', 16))) AND (e.visitor != toFixedString('', 16))
GROUP BY
    site,
    visitor,
    hour;

CREATE MATERIALIZED VIEW beckon.feed_visitor_changes TO beckon.visitor_changes
(
    `spool` FixedString(16),
    `segment` UInt64,
    `site` LowCardinality(String),
    `visitor` FixedString(16),
    `order_key` FixedString(16),
    `expires` Date
)
AS SELECT
    e.spool AS spool,
    e.segment AS segment,
    e.site AS site,
    e.visitor AS visitor,
    if(e.visitor = toFixedString('', 16), e.order_key, toFixedString('', 16)) AS order_key,
    today() + 3 AS expires
FROM beckon.events AS e
WHERE (e.lane = 'decide') AND (e.bot = 0) AND ((e.kind != 'consent') OR (e.session != toFixedString('', 16))) AND ((e.visitor != toFixedString('', 16)) OR ((e.kind IN ('purchase', 'refund')) AND (e.order_key != toFixedString('', 16))))
GROUP BY
    spool,
    segment,
    site,
    visitor,
    order_key;

CREATE TABLE beckon.ledger
(
    `site` LowCardinality(String) COMMENT 'Site id; empty where a record that cannot be read was counted',
    `minute` DateTime('UTC') COMMENT 'Minute in which it was counted, by the clock of the collector' CODEC(Delta(4), ZSTD(1)),
    `reason` LowCardinality(String) COMMENT 'What became of them: accepted = stored + duplicate + dropped:too-old ...; dead-letter and lost are among the stored ones and are no rows',
    `spool` FixedString(16) COMMENT 'Spool that counted' CODEC(ZSTD(1)),
    `segment` UInt64 COMMENT 'Segment that carried the count' CODEC(Delta(8), ZSTD(1)),
    `n` UInt64 COMMENT 'Events; sum over spool and segment' CODEC(T64, ZSTD(1)),
    `expires` Date DEFAULT toDate(minute) + 395 COMMENT 'Day on which the row is deleted'
)
ENGINE = ReplacingMergeTree
ORDER BY (site, minute, reason, spool, segment)
TTL expires
SETTINGS non_replicated_deduplication_window = 100000, replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800, fsync_after_insert = 1, fsync_part_directory = 1, merge_with_ttl_timeout = 3600, index_granularity = 8192
COMMENT 'What became of every event that was sent to us';

CREATE TABLE beckon.loads
(
    `table_name` LowCardinality(String) COMMENT 'Table the batch went to: events or decisions',
    `spool` FixedString(16) COMMENT 'Spool of the batch' CODEC(ZSTD(1)),
    `segment` UInt64 COMMENT 'Segment of that spool' CODEC(Delta(8), ZSTD(1)),
    `rows` UInt64 COMMENT 'Rows in the batch' CODEC(T64, ZSTD(1)),
    `first_received` DateTime64(3, 'UTC') COMMENT 'received_at of its first row' CODEC(Delta(8), ZSTD(1)),
    `last_received` DateTime64(3, 'UTC') COMMENT 'received_at of its last row' CODEC(Delta(8), ZSTD(1)),
    `waited_ms` UInt64 COMMENT 'Milliseconds between its last row and this one, both by the clock of the sender' CODEC(T64, ZSTD(1)),
    `loaded_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When this row was written, by the clock of the server' CODEC(Delta(8), ZSTD(1)),
    `expires` Date DEFAULT today() + 90 COMMENT 'Day on which the row is deleted',
    INDEX by_time loaded_at TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree
ORDER BY (table_name, spool, segment)
TTL expires
SETTINGS non_replicated_deduplication_window = 100000, replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800, fsync_after_insert = 1, fsync_part_directory = 1, merge_with_ttl_timeout = 3600, index_granularity = 8192
COMMENT 'Batches that are completely in ClickHouse';

CREATE TABLE beckon.orders
(
    `site` LowCardinality(String) COMMENT 'Site id',
    `order_key` FixedString(16) COMMENT 'Keyed hash of the order number; the key of a site never rotates' CODEC(ZSTD(1)),
    `environment` SimpleAggregateFunction(max, LowCardinality(String)) COMMENT 'Environment of the site',
    `trust` SimpleAggregateFunction(max, UInt8) COMMENT 'Who the winning version is from: 3 server, 2 import, 1 browser, 0 = only a refund is known',
    `placed_at` AggregateFunction(min, DateTime64(3, 'UTC')) COMMENT 'First report of the purchase, by occurred_at; read with minMerge' CODEC(ZSTD(1)),
    `facts` AggregateFunction(argMax, Tuple(
        value Nullable(Decimal(18, 4)),
        discount Nullable(Decimal(18, 4)),
        tax Nullable(Decimal(18, 4)),
        shipping Nullable(Decimal(18, 4)),
        currency String,
        value_site Nullable(Decimal(38, 4)),
        units UInt64), Tuple(
        UInt8,
        DateTime64(3, 'UTC'),
        FixedString(16))) COMMENT 'Amounts of the winning version: value, discount, tax, shipping and their currency, value_site in the currency of the site (NULL = no known rate), units sold; read with argMaxMerge' CODEC(ZSTD(1)),
    `refunds` SimpleAggregateFunction(groupUniqArrayArray, Array(Tuple(
        event_id FixedString(16),
        amount Nullable(Decimal(18, 4)),
        amount_site Nullable(Decimal(38, 4))))) COMMENT 'Refunds: event id, amount in its own currency and in that of the site; a NULL amount = the whole order' CODEC(ZSTD(1)),
    `visitor` AggregateFunction(argMax, FixedString(16), Tuple(
        UInt8,
        DateTime64(3, 'UTC'),
        FixedString(16))) COMMENT 'Visitor, from the most trusted version that names one' CODEC(ZSTD(1)),
    `session` AggregateFunction(argMax, FixedString(16), Tuple(
        UInt8,
        DateTime64(3, 'UTC'),
        FixedString(16))) COMMENT 'Session, likewise' CODEC(ZSTD(1)),
    `customer_key` AggregateFunction(argMax, FixedString(16), Tuple(
        UInt8,
        DateTime64(3, 'UTC'),
        FixedString(16))) COMMENT 'Customer, likewise' CODEC(ZSTD(1)),
    `coupon_key` AggregateFunction(argMax, FixedString(16), Tuple(
        UInt8,
        DateTime64(3, 'UTC'),
        FixedString(16))) COMMENT 'Coupon, likewise' CODEC(ZSTD(1)),
    `offer` AggregateFunction(argMax, String, Tuple(
        UInt8,
        DateTime64(3, 'UTC'),
        FixedString(16))) COMMENT 'Offer that was redeemed, likewise' CODEC(ZSTD(1)),
    `decision` AggregateFunction(argMax, String, Tuple(
        UInt8,
        DateTime64(3, 'UTC'),
        FixedString(16))) COMMENT 'decision_id of that offer, likewise' CODEC(ZSTD(1)),
    `sources` SimpleAggregateFunction(groupUniqArrayArray, Array(String)) COMMENT 'Everybody who reported the purchase',
    `expires` SimpleAggregateFunction(max, Date) COMMENT 'Day on which the row is deleted, by the event retention of the site'
)
ENGINE = AggregatingMergeTree
ORDER BY (site, order_key)
TTL expires
SETTINGS non_replicated_deduplication_window = 100000, replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800, fsync_after_insert = 1, fsync_part_directory = 1, merge_with_ttl_timeout = 3600, index_granularity = 256
COMMENT 'One order each, as mergeable states. Analysts read v_orders';

CREATE MATERIALIZED VIEW beckon.refresh_traffic
REFRESH EVERY 1 MINUTE APPEND TO beckon.traffic
(
    `site` LowCardinality(String),
    `environment` LowCardinality(String),
    `bucket` DateTime('UTC'),
    `lane` LowCardinality(String),
    `events` UInt64,
    `pageviews` UInt64,
    `product_views` UInt64,
    `cart_adds` UInt64,
    `checkout_starts` UInt64,
    `purchases` UInt64,
    `visitors` UInt64,
    `sessions` UInt64,
    `bot_events` UInt64,
    `built_at` DateTime('UTC'),
    `expires` Date
)
DEFINER = default SQL SECURITY DEFINER
AS WITH
    due AS
    (
        SELECT
            t.site AS site,
            t.environment AS environment,
            t.bucket AS bucket
        FROM
        (
            SELECT
                site,
                environment,
                bucket,
                max(touched_at) AS touched
            FROM beckon.traffic_touched
            GROUP BY
                site,
                environment,
                bucket
        ) AS t
        LEFT JOIN
        (
            SELECT
                site,
                environment,
                bucket,
                max(built_at) AS built
            FROM beckon.traffic
            WHERE (site, environment, bucket) IN (
                SELECT
                    site,
                    environment,
                    bucket
                FROM beckon.traffic_touched
            )
            GROUP BY
                site,
                environment,
                bucket
        ) AS b ON (t.site = b.site) AND (t.environment = b.environment) AND (t.bucket = b.bucket)
        WHERE (t.touched + toIntervalMinute(10)) > b.built
    )
SELECT
    e.site AS site,
    e.environment AS environment,
    toStartOfFifteenMinutes(e.occurred_at) AS bucket,
    e.lane AS lane,
    uniqExactIf(e.event_id, e.bot = 0) AS events,
    uniqExactIf(e.event_id, (e.bot = 0) AND (e.kind = 'page_view')) AS pageviews,
    uniqExactIf(e.event_id, (e.bot = 0) AND (e.kind = 'product_view')) AS product_views,
    uniqExactIf(e.event_id, (e.bot = 0) AND (e.kind = 'cart_add')) AS cart_adds,
    uniqExactIf(e.event_id, (e.bot = 0) AND (e.kind = 'checkout_start')) AS checkout_starts,
    uniqExactIf(e.event_id, (e.bot = 0) AND (e.kind = 'purchase')) AS purchases,
    uniqExactIf(e.visitor, (e.bot = 0) AND (e.visitor != toFixedString('', 16))) AS visitors,
    uniqExactIf(e.session, (e.bot = 0) AND (e.session != toFixedString('', 16))) AS sessions,
    uniqExactIf(e.event_id, e.bot = 1) AS bot_events,
    now('UTC') AS built_at,
    max(e.expires) AS expires
FROM beckon.events AS e
WHERE (e.kind != 'consent') AND ((e.site, toDate(e.occurred_at)) IN (
    SELECT
        site,
        toDate(bucket)
    FROM due
)) AND ((e.site, e.environment, toStartOfFifteenMinutes(e.occurred_at)) IN (
    SELECT
        site,
        environment,
        bucket
    FROM due
))
GROUP BY
    site,
    environment,
    bucket,
    lane;

CREATE VIEW beckon.report_funnel_daily
(
    `day` Date COMMENT 'Day in the given time zone on which the session began',
    `channel` String COMMENT 'Where the session came from, as in v_sessions: paid, email, affiliate, social, search, campaign, referral, direct; other = folded',
    `device` String COMMENT 'desktop, mobile, tablet ...; empty = unknown; other = folded',
    `sessions` UInt64 COMMENT 'Sessions of lane decide, without bots',
    `product_views` UInt64 COMMENT 'Of these, sessions with a product page',
    `carts` UInt64 COMMENT 'Of these, sessions with something put into the cart',
    `checkouts` UInt64 COMMENT 'Of these, sessions in which the checkout was begun',
    `purchases` UInt64 COMMENT 'Of these, sessions with a purchase; orders and money are in v_orders',
    `folded_sessions` UInt64 COMMENT 'Sessions of this row whose channel and device are hidden, as too few people share them: all of an `other` row, else 0'
)
COMMENT 'Sessions of one site in production, a row for each day of the given time zone, channel and device: how many saw a product, filled a cart, began the checkout, bought. Cells of fewer than k people (at least 10) are folded into `other`'
AS WITH
    visits AS
    (
        SELECT
            e.session AS session,
            max(e.visitor) AS visitor,
            min(e.occurred_at) AS started_at,
            toDate(started_at, {timezone:String}) AS day,
            max(e.kind = 'product_view') AS viewed,
            max(e.kind = 'cart_add') AS carted,
            max(e.kind = 'checkout_start') AS checked_out,
            max(e.kind = 'purchase') AS purchased,
            CAST(argMinIf(e.device, (e.occurred_at, e.event_id), e.device != ''), 'String') AS device,
            lower(argMinIf(e.referrer, (e.kind != 'consent', e.occurred_at, e.event_id), e.referrer != '')) AS referrer,
            lower(argMinIf(e.utm_source, (e.kind != 'consent', e.occurred_at, e.event_id), e.utm_source != '')) AS utm_source,
            lower(argMinIf(e.utm_medium, (e.kind != 'consent', e.occurred_at, e.event_id), e.utm_medium != '')) AS utm_medium
        FROM beckon.events AS e
        WHERE (e.site = {site:String}) AND (e.environment = 'production') AND (e.expires > today()) AND (e.lane = 'decide') AND (e.bot = 0) AND (e.session != toFixedString('', 16)) AND ((toDate(e.occurred_at) >= ({since:Date} - 2)) AND (toDate(e.occurred_at) <= ({until:Date} + 2)))
        GROUP BY session
        HAVING ((day >= {since:Date}) AND (day <= {until:Date})) AND max(e.kind != 'consent')
    ),
    cells AS
    (
        SELECT
            v.day AS day,
            multiIf(match(v.utm_medium, '^(cpc|ppc|cpm|cpv|cpa|display|banner|retargeting|paid)'), 'paid', match(v.utm_medium, '^(e-?mail|newsletter)') OR match(v.utm_source, '^(e-?mail|newsletter)'), 'email', match(v.utm_medium, '^affiliate'), 'affiliate', match(v.utm_medium, '^social') OR match(v.utm_source, '(^|\\.)(facebook|instagram|tiktok|pinterest|linkedin|reddit|youtube|snapchat|threads|twitter)(\\.|$)|^(t\\.co|x\\.com)$') OR match(v.referrer, '(^|\\.)(facebook|instagram|tiktok|pinterest|linkedin|reddit|youtube|snapchat|threads|twitter)(\\.|$)|^(t\\.co|x\\.com)$'), 'social', (v.utm_medium = 'organic') OR match(v.referrer, '(^|\\.)(google|bing|duckduckgo|yahoo|ecosia|baidu|yandex|qwant|startpage|kagi)\\.|^search\\.brave\\.com$'), 'search', (v.utm_medium != '') OR (v.utm_source != ''), 'campaign', v.referrer != '', 'referral', 'direct') AS channel,
            v.device AS device,
            count() AS sessions,
            sum(v.viewed) AS product_views,
            sum(v.carted) AS carts,
            sum(v.checked_out) AS checkouts,
            sum(v.purchased) AS purchases,
            sum(v.first_of_day) AS people
        FROM
        (
            SELECT
                *,
                row_number() OVER (PARTITION BY day, visitor ORDER BY started_at ASC, session ASC) = 1 AS first_of_day
            FROM visits
        ) AS v
        GROUP BY
            day,
            channel,
            device
    ),
    judged AS
    (
        SELECT
            *,
            sum(people) OVER (PARTITION BY day ORDER BY people ASC, channel ASC, device ASC ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) - people AS smaller,
            (people < greatest({k:UInt32}, 10)) OR ((smaller > 0) AND (smaller < greatest({k:UInt32}, 10))) AS folded
        FROM cells
    )
SELECT
    j.day AS day,
    if(j.folded, 'other', j.channel) AS channel,
    if(j.folded, 'other', j.device) AS device,
    sum(j.sessions) AS sessions,
    sum(j.product_views) AS product_views,
    sum(j.carts) AS carts,
    sum(j.checkouts) AS checkouts,
    sum(j.purchases) AS purchases,
    sumIf(j.sessions, j.folded) AS folded_sessions
FROM judged AS j
GROUP BY
    day,
    channel,
    device;

CREATE VIEW beckon.report_ledger
(
    `site` LowCardinality(String) COMMENT 'Site id; empty = damaged on the disk of a collector before its site could be read',
    `day` Date COMMENT 'Day (UTC) of the last minute that the batch counted',
    `accepted` Int64 COMMENT 'Events that a collector answered for',
    `stored` Int64 COMMENT 'Of these, written to its disk, to come to ClickHouse once',
    `duplicates` Int64 COMMENT 'Of these, known already and not stored again',
    `dropped` Int64 COMMENT 'Of these, not stored for a reason that the reply named',
    `dead_letters` Int64 COMMENT 'Of the stored ones, refused by the loader and kept in a file of the collector',
    `lost` Int64 COMMENT 'Of the stored ones, damaged on the disk of a collector',
    `still_there` Int64 COMMENT 'Rows of these batches in events now',
    `gone` Int64 COMMENT 'stored less dead_letters less still_there: expired, erased, lost, or missing',
    `unexplained` Int64 COMMENT 'accepted less stored, duplicates and dropped: anything but 0 is a fault'
)
COMMENT 'The ledger by site and day (UTC, both included) held against the events: accepted = stored + duplicates + dropped, or else unexplained is not 0; stored = dead_letters + still_there + gone. gone is what has expired, was erased, was damaged on the disk of a collector (that is lost, in a row without a site), or is missing: within the retention and without erasures, more gone than lost is a loss'
AS WITH
    batches AS
    (
        SELECT
            spool,
            segment,
            toDate(max(minute)) AS day
        FROM beckon.ledger
        WHERE (minute >= (toDateTime({since:Date}, 'UTC') - toIntervalDay(1))) AND (minute < (toDateTime({until:Date}, 'UTC') + toIntervalDay(2)))
        GROUP BY
            spool,
            segment
        HAVING (day >= {since:Date}) AND (day <= {until:Date})
    ),
    counted AS
    (
        SELECT
            l.site AS site,
            b.day AS day,
            toInt64(sumIf(l.n, l.reason = 'accepted')) AS accepted,
            toInt64(sumIf(l.n, l.reason = 'stored')) AS stored,
            toInt64(sumIf(l.n, l.reason = 'duplicate')) AS duplicates,
            toInt64(sumIf(l.n, (l.reason NOT IN ('accepted', 'stored', 'duplicate', 'dead-letter', 'lost')))) AS dropped,
            toInt64(sumIf(l.n, l.reason = 'dead-letter')) AS dead_letters,
            toInt64(sumIf(l.n, l.reason = 'lost')) AS lost
        FROM beckon.ledger AS l
        FINAL
        INNER JOIN batches AS b ON (l.spool = b.spool) AND (l.segment = b.segment)
        GROUP BY
            site,
            day
    ),
    found AS
    (
        SELECT
            e.site AS site,
            b.day AS day,
            toInt64(count()) AS rows
        FROM beckon.events AS e
        INNER JOIN batches AS b ON (e.spool = b.spool) AND (e.segment = b.segment)
        GROUP BY
            site,
            day
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
    (c.stored - c.dead_letters) - f.rows AS gone,
    ((c.accepted - c.stored) - c.duplicates) - c.dropped AS unexplained
FROM counted AS c
LEFT JOIN found AS f ON (c.site = f.site) AND (c.day = f.day);

CREATE VIEW beckon.report_lift
(
    `site` String COMMENT 'Site id',
    `offer` LowCardinality(String) COMMENT 'Offer id of sites.yaml; offers to everyone are outside experiments',
    `experiment` UInt32 COMMENT 'Number of the experiment of that offer; it ends when a visitor is drawn for a higher one',
    `holdout` Float64 COMMENT 'Share of the holdout when these visitors were assigned, 0 to 1',
    `arm` String COMMENT 'treatment: given the offer; holdout: eligible and given nothing',
    `day` Date COMMENT 'Day of the first assignment in the given time zone',
    `visitors` UInt64 COMMENT 'Visitors assigned to this arm, each once: those who were eligible and drawn',
    `served` UInt64 COMMENT 'Of them, who were given the offer in an answer',
    `shown` UInt64 COMMENT 'Of them, whose browser reported offer_shown since the assignment',
    `orders` UInt64 COMMENT 'Orders placed since the assignment, refunded or not',
    `converted` UInt64 COMMENT 'Visitors with such an order',
    `revenue` Decimal(38, 4) COMMENT 'Value of these orders less refunds, in the currency of the site',
    `revenue_squared` Float64 COMMENT 'Sum of the squares of what each visitor brought; with revenue and visitors it gives the variance',
    `unconverted` UInt64 COMMENT 'Amounts left out of revenue, as their currency has no known rate'
)
COMMENT 'Experiments with the targeted offers of one site in production, as sums that add up: who was assigned to which arm, and what they brought afterwards. A row for each offer, experiment, share of the holdout, arm, and day of the first assignment'
AS SELECT * EXCEPT environment
FROM `beckon.report_lift_all`(site = {site:String}, timezone = {timezone:String}, since = {since:Date}, until = {until:Date})
WHERE environment = 'production';

CREATE VIEW beckon.report_lift_all
(
    `site` String COMMENT 'Site id',
    `environment` LowCardinality(String) COMMENT 'production, staging ... of sites.yaml',
    `offer` LowCardinality(String) COMMENT 'Offer id of sites.yaml; offers to everyone are outside experiments',
    `experiment` UInt32 COMMENT 'Number of the experiment of that offer; it ends when a visitor is drawn for a higher one',
    `holdout` Float64 COMMENT 'Share of the holdout when these visitors were assigned, 0 to 1',
    `arm` String COMMENT 'treatment: given the offer; holdout: eligible and given nothing',
    `day` Date COMMENT 'Day of the first assignment in the given time zone',
    `visitors` UInt64 COMMENT 'Visitors assigned to this arm, each once: those who were eligible and drawn',
    `served` UInt64 COMMENT 'Of them, who were given the offer in an answer',
    `shown` UInt64 COMMENT 'Of them, whose browser reported offer_shown since the assignment',
    `orders` UInt64 COMMENT 'Orders placed since the assignment, refunded or not',
    `converted` UInt64 COMMENT 'Visitors with such an order',
    `revenue` Decimal(38, 4) COMMENT 'Value of these orders less refunds, in the currency of the site',
    `revenue_squared` Float64 COMMENT 'Sum of the squares of what each visitor brought; with revenue and visitors it gives the variance',
    `unconverted` UInt64 COMMENT 'Amounts left out of revenue, as their currency has no known rate'
)
COMMENT 'Experiments with the targeted offers of one site, of every environment; as sums that add up'
AS WITH
    begun AS
    (
        SELECT
            d.environment AS environment,
            d.offer AS offer,
            d.experiment AS experiment,
            min(d.decided_at) AS begun_at
        FROM beckon.decisions AS d
        WHERE (d.site = {site:String}) AND (d.first_serve = 1) AND (d.personalised = 1) AND (d.arm != '') AND (d.expires > today())
        GROUP BY
            d.environment,
            d.offer,
            d.experiment
    ),
    spans AS
    (
        SELECT
            b.environment AS environment,
            b.offer AS offer,
            b.experiment AS experiment,
            minIf(n.begun_at, n.experiment > b.experiment) AS next_at,
            if(next_at = toDateTime64(0, 3, 'UTC'), toDateTime64('2299-12-31 00:00:00', 3, 'UTC'), next_at) AS ended_at
        FROM begun AS b
        INNER JOIN begun AS n ON (b.environment = n.environment) AND (b.offer = n.offer)
        GROUP BY
            b.environment,
            b.offer,
            b.experiment
    ),
    drawn AS
    (
        SELECT
            d.environment AS environment,
            d.offer AS offer,
            d.experiment AS experiment,
            d.visitor AS visitor,
            minIf(d.decided_at, d.first_serve = 1) AS assigned_at,
            argMinIf(d.arm, d.decided_at, d.first_serve = 1) AS arm,
            argMinIf(d.holdout, d.decided_at, d.first_serve = 1) AS holdout,
            maxIf(d.decided_at, d.eligible = 1) AS last_served
        FROM beckon.decisions AS d
        WHERE (d.site = {site:String}) AND (d.offer != '') AND (d.personalised = 1) AND (d.arm != '') AND (d.expires > today())
        GROUP BY
            d.environment,
            d.offer,
            d.experiment,
            d.visitor
        HAVING (countIf(d.first_serve = 1) > 0) AND ((toDate(assigned_at, {timezone:String}) >= {since:Date}) AND (toDate(assigned_at, {timezone:String}) <= {until:Date}))
    ),
    bought AS
    (
        SELECT
            toFixedString(unhex(o.visitor), 16) AS visitor,
            groupArray((assumeNotNull(o.placed_at), ifNull(o.net_site, toDecimal128(0, 4)), o.unconverted)) AS orders
        FROM beckon.v_orders_all AS o
        WHERE (o.site = {site:String}) AND (o.visitor != '') AND (o.placed_at IS NOT NULL)
        GROUP BY visitor
    ),
    seen AS
    (
        SELECT
            e.visitor AS visitor,
            e.offer AS offer,
            groupUniqArray(1000)(e.occurred_at) AS times
        FROM beckon.events AS e
        WHERE (e.site = {site:String}) AND (toDate(e.occurred_at) >= ({since:Date} - 1)) AND (e.kind = 'offer_shown') AND (e.lane = 'decide') AND (e.bot = 0) AND (e.expires > today())
        GROUP BY
            e.visitor,
            e.offer
    ),
    visitors AS
    (
        SELECT
            a.environment AS environment,
            a.offer AS offer,
            a.experiment AS experiment,
            a.holdout AS holdout,
            a.arm AS arm,
            toDate(a.assigned_at, {timezone:String}) AS day,
            a.last_served >= a.assigned_at AS was_served,
            arrayExists(x -> ((x >= a.assigned_at) AND (x < s.ended_at)), v.times) AS was_shown,
            arrayFilter(x -> (((x.1) >= a.assigned_at) AND ((x.1) < s.ended_at)), b.orders) AS their_orders,
            toFloat64(arraySum(arrayMap(x -> (x.2), their_orders))) AS brought
        FROM drawn AS a
        INNER JOIN spans AS s ON (a.environment = s.environment) AND (a.offer = s.offer) AND (a.experiment = s.experiment)
        LEFT JOIN bought AS b ON a.visitor = b.visitor
        LEFT JOIN seen AS v ON (a.visitor = v.visitor) AND (a.offer = v.offer)
        WHERE a.assigned_at < s.ended_at
    )
SELECT
    {site:String} AS site,
    environment,
    offer,
    experiment,
    holdout,
    arm,
    day,
    count() AS visitors,
    countIf(was_served) AS served,
    countIf(was_shown) AS shown,
    sum(length(their_orders)) AS orders,
    countIf(notEmpty(their_orders)) AS converted,
    sum(arraySum(arrayMap(x -> (x.2), their_orders))) AS revenue,
    sum(brought * brought) AS revenue_squared,
    sum(arraySum(arrayMap(x -> (x.3), their_orders))) AS unconverted
FROM visitors
GROUP BY
    environment,
    offer,
    experiment,
    holdout,
    arm,
    day;

CREATE VIEW beckon.report_offer_daily
(
    `day` Date COMMENT 'Day in the given time zone on which the offer was first served; of an offer to everyone, on which it was answered',
    `offer` String COMMENT 'Offer id of sites.yaml',
    `rule` String COMMENT 'Offer and version of its rule, as welcome-back@3f2a9c1d; of an offer to everyone the last one of the day',
    `arm` String COMMENT 'treatment, or holdout: eligible and shown nothing; empty = an offer to everyone, outside experiments',
    `served` UInt64 COMMENT 'Grants and holdout draws first served on this day, each decision_id once; 0 for an offer to everyone',
    `answers` UInt64 COMMENT 'All answers that gave it or held it out, the first serve and folded repeats included',
    `shown` UInt64 COMMENT 'Of those served, how many were seen (offer_shown); of an offer to everyone, events',
    `dismissed` UInt64 COMMENT 'Of those served, how many were dismissed (offer_dismissed); of an offer to everyone, events',
    `accepted` UInt64 COMMENT 'Of those served, how many were accepted (offer_accepted); of an offer to everyone, events',
    `orders` UInt64 COMMENT 'Orders that name the decision; of an offer to everyone, orders of this day that name the offer. A holdout has none to name: compare arms with report_lift',
    `net_site` Decimal(38, 4) COMMENT 'Value of these orders less refunds, in the currency of the site',
    `discount_site` Decimal(38, 4) COMMENT 'Discount of these orders as their most trusted report has it, in the currency of the site: what the offer cost. Waived shipping is in it if the shop reports it so',
    `unconverted` UInt64 COMMENT 'Amounts left out of net_site and discount_site, as their currency has no known rate'
)
COMMENT 'Offers of one site in production, a row for each day of the given time zone, offer, rule version and arm: from served to shown to accepted to ordered, revenue and cost of the discount. Goes back as far as decisions are kept (retention.profiles)'
AS WITH
    (
        SELECT toDate(max(d.valid_until)) + 2
        FROM beckon.decisions AS d
        WHERE (d.site = {site:String}) AND (d.environment = 'production') AND (d.expires > today()) AND (d.arm != '') AND (d.decided_at >= toDateTime({since:Date} - 1, 'UTC')) AND (d.decided_at < toDateTime({until:Date} + 2, 'UTC'))
    ) AS last_day,
    served AS
    (
        SELECT
            if(d.decision_id = toFixedString('', 16), concat(d.offer, ' ', toString(toDate(d.decided_at, {timezone:String}))), lower(hex(d.decision_id))) AS subject,
            toUInt64(d.decision_id != toFixedString('', 16)) AS granted,
            toDate(if(granted = 1, minIf(d.decided_at, d.first_serve = 1), min(d.decided_at)), {timezone:String}) AS day,
            CAST(any(d.offer), 'String') AS offer,
            argMax(d.rule, d.decided_at) AS rule,
            if(granted = 1, CAST(any(d.arm), 'String'), '') AS arm,
            count() + sum(toUInt64(d.repeats)) AS answers
        FROM beckon.decisions AS d
        FINAL
        WHERE (d.site = {site:String}) AND (d.environment = 'production') AND (d.expires > today()) AND (d.decided_at >= toDateTime({since:Date} - 1, 'UTC')) AND (d.decided_at < toDateTime(greatest({until:Date} + 2, assumeNotNull(last_day)) + 1, 'UTC')) AND (d.arm != '')
        GROUP BY
            subject,
            granted
        HAVING ((granted = 0) OR (max(d.first_serve) = 1)) AND ((day >= {since:Date}) AND (day <= {until:Date}))
    ),
    reactions AS
    (
        SELECT
            if(match(e.decision, '^[0-9a-f]{32}$'), e.decision, concat(e.offer, ' ', toString(toDate(e.occurred_at, {timezone:String})))) AS subject,
            uniqExactIf(e.event_id, e.kind = 'offer_shown') AS shown,
            uniqExactIf(e.event_id, e.kind = 'offer_dismissed') AS dismissed,
            uniqExactIf(e.event_id, e.kind = 'offer_accepted') AS accepted
        FROM beckon.events AS e
        WHERE (e.site = {site:String}) AND (e.environment = 'production') AND (e.expires > today()) AND (e.bot = 0) AND ((toDate(e.occurred_at) >= ({since:Date} - 1)) AND (toDate(e.occurred_at) <= greatest({until:Date} + 2, assumeNotNull(last_day)))) AND (e.kind IN ('offer_shown', 'offer_dismissed', 'offer_accepted'))
        GROUP BY subject
    ),
    purchases AS
    (
        SELECT
            lower(hex(e.order_key)) AS order_key,
            argMax((e.discount, e.rate), (multiIf(e.source = 'server', 3, e.source = 'import', 2, 1), e.occurred_at, e.event_id)) AS winner,
            winner.1 AS discount,
            if((winner.2) > 0, CAST(round(toDecimal128(discount, 4) * toDecimal128(winner.2, 8), 4), 'Nullable(Decimal(38, 4))'), NULL) AS discount_site
        FROM beckon.events AS e
        WHERE (e.site = {site:String}) AND (e.environment = 'production') AND (e.expires > today()) AND (e.bot = 0) AND ((toDate(e.occurred_at) >= ({since:Date} - 1)) AND (toDate(e.occurred_at) <= greatest({until:Date} + 2, assumeNotNull(last_day)))) AND (e.kind = 'purchase') AND (e.order_key != toFixedString('', 16))
        GROUP BY order_key
    ),
    sales AS
    (
        SELECT
            if(match(o.decision, '^[0-9a-f]{32}$'), o.decision, concat(o.offer, ' ', toString(toDate(assumeNotNull(o.placed_at), {timezone:String})))) AS subject,
            count() AS orders,
            sum(ifNull(o.net_site, toDecimal128(0, 4))) AS net_site,
            sum(ifNull(p.discount_site, toDecimal128(0, 4))) AS discount_site,
            sum(o.unconverted + toUInt64((p.discount IS NOT NULL) AND (p.discount_site IS NULL))) AS unconverted
        FROM beckon.v_orders AS o
        INNER JOIN purchases AS p ON o.order_key = p.order_key
        WHERE (o.site = {site:String}) AND (o.placed_at IS NOT NULL) AND ((o.offer != '') OR (o.decision != ''))
        GROUP BY subject
    )
SELECT
    s.day AS day,
    s.offer AS offer,
    s.rule AS rule,
    s.arm AS arm,
    sum(s.granted) AS served,
    sum(s.answers) AS answers,
    sum(if(s.granted = 1, least(r.shown, 1), r.shown)) AS shown,
    sum(if(s.granted = 1, least(r.dismissed, 1), r.dismissed)) AS dismissed,
    sum(if(s.granted = 1, least(r.accepted, 1), r.accepted)) AS accepted,
    sum(t.orders) AS orders,
    sum(t.net_site) AS net_site,
    sum(t.discount_site) AS discount_site,
    sum(t.unconverted) AS unconverted
FROM served AS s
LEFT JOIN reactions AS r ON s.subject = r.subject
LEFT JOIN sales AS t ON s.subject = t.subject
GROUP BY
    day,
    offer,
    rule,
    arm;

CREATE VIEW beckon.report_traffic
(
    `day` Date COMMENT 'Day in the given time zone',
    `pageviews` UInt64 COMMENT 'page_view events of people in every lane, counted anew every minute',
    `product_views` UInt64 COMMENT 'product_view events, likewise',
    `cart_adds` UInt64 COMMENT 'cart_add events, likewise',
    `checkout_starts` UInt64 COMMENT 'checkout_start events, likewise',
    `visitors` UInt64 COMMENT 'Different visitors of lane decide; of several days they do not add up',
    `visitors_estimated` UInt64 COMMENT 'Different ids of lane measure: many people can share one, and one who goes on after midnight UTC has two',
    `sessions` UInt64 COMMENT 'Different sessions of lane decide with an event on that day',
    `sessions_estimated` UInt64 COMMENT 'Visits of lane measure that began on that day, after half an hour in which their id was not seen',
    `orders` UInt64 COMMENT 'Orders placed on that day, each once, whoever reported it',
    `net_site` Decimal(38, 4) COMMENT 'Their value less refunds, in the currency of the site',
    `unconverted` UInt64 COMMENT 'Amounts left out of net_site, as their currency has no known rate',
    `bot_events` UInt64 COMMENT 'Events of known programs, in no other column'
)
COMMENT 'Production traffic of one site, a row for each day in the given time zone: pageviews, product_views, cart_adds, checkout_starts; visitors and sessions (lane decide), visitors_estimated and sessions_estimated (lane measure); orders and their net_site revenue in the currency of the site; unconverted amounts left out of it; bot_events'
AS SELECT
    day,
    sum(pageviews) AS pageviews,
    sum(product_views) AS product_views,
    sum(cart_adds) AS cart_adds,
    sum(checkout_starts) AS checkout_starts,
    sum(visitors) AS visitors,
    sum(visitors_estimated) AS visitors_estimated,
    sum(sessions) AS sessions,
    sum(sessions_estimated) AS sessions_estimated,
    sum(orders) AS orders,
    sum(net_site) AS net_site,
    sum(unconverted) AS unconverted,
    sum(bot_events) AS bot_events
FROM
(
    SELECT
        toDate(t.bucket, {timezone:String}) AS day,
        sum(t.pageviews) AS pageviews,
        sum(t.product_views) AS product_views,
        sum(t.cart_adds) AS cart_adds,
        sum(t.checkout_starts) AS checkout_starts,
        toUInt64(0) AS visitors,
        toUInt64(0) AS visitors_estimated,
        toUInt64(0) AS sessions,
        toUInt64(0) AS sessions_estimated,
        toUInt64(0) AS orders,
        toDecimal128(0, 4) AS net_site,
        toUInt64(0) AS unconverted,
        sum(t.bot_events) AS bot_events
    FROM beckon.traffic AS t
    FINAL
    WHERE (t.site = {site:String}) AND (t.environment = 'production') AND (t.expires > today()) AND ((toDate(t.bucket, {timezone:String}) >= {since:Date}) AND (toDate(t.bucket, {timezone:String}) <= {until:Date}))
    GROUP BY day
    UNION ALL
    SELECT
        toDate(e.occurred_at, {timezone:String}) AS day,
        0,
        0,
        0,
        0,
        uniqExactIf(e.visitor, e.lane = 'decide'),
        uniqExactIf(e.visitor, e.lane = 'measure'),
        uniqExactIf(e.session, e.session != toFixedString('', 16)),
        0,
        0,
        0,
        0,
        0
    FROM beckon.events AS e
    WHERE (e.site = {site:String}) AND (e.environment = 'production') AND (e.expires > today()) AND (e.bot = 0) AND (e.kind != 'consent') AND (e.visitor != toFixedString('', 16)) AND ((toDate(e.occurred_at) >= ({since:Date} - 1)) AND (toDate(e.occurred_at) <= ({until:Date} + 1))) AND ((toDate(e.occurred_at, {timezone:String}) >= {since:Date}) AND (toDate(e.occurred_at, {timezone:String}) <= {until:Date}))
    GROUP BY day
    UNION ALL
    SELECT
        toDate(m.occurred_at, {timezone:String}) AS day,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        countIf(dateDiff('millisecond', m.before, m.occurred_at) >= 1800000),
        0,
        0,
        0,
        0
    FROM
    (
        SELECT
            e.occurred_at AS occurred_at,
            lagInFrame(e.occurred_at) OVER (PARTITION BY e.visitor ORDER BY e.occurred_at ASC ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS before
        FROM beckon.events AS e
        WHERE (e.site = {site:String}) AND (e.environment = 'production') AND (e.expires > today()) AND (e.lane = 'measure') AND (e.bot = 0) AND (e.kind != 'consent') AND (e.visitor != toFixedString('', 16)) AND ((toDate(e.occurred_at) >= ({since:Date} - 1)) AND (toDate(e.occurred_at) <= ({until:Date} + 1)))
    ) AS m
    WHERE (toDate(m.occurred_at, {timezone:String}) >= {since:Date}) AND (toDate(m.occurred_at, {timezone:String}) <= {until:Date})
    GROUP BY day
    UNION ALL
    SELECT
        toDate(assumeNotNull(o.placed_at), {timezone:String}) AS day,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        count(),
        sum(ifNull(o.net_site, toDecimal128(0, 4))),
        sum(o.unconverted),
        0
    FROM beckon.v_orders AS o
    WHERE (o.site = {site:String}) AND (o.placed_at IS NOT NULL) AND ((toDate(assumeNotNull(o.placed_at), {timezone:String}) >= {since:Date}) AND (toDate(assumeNotNull(o.placed_at), {timezone:String}) <= {until:Date}))
    GROUP BY day
)
GROUP BY day;

CREATE TABLE beckon.schema_files
(
    `name` String COMMENT 'File name in schema/',
    `sha256` String COMMENT 'SHA-256 of its text when it was applied, hexadecimal',
    `applied_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When it was applied'
)
ENGINE = ReplacingMergeTree
ORDER BY name
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192
COMMENT 'Schema files that were applied to this database';

CREATE TABLE beckon.sessions
(
    `site` LowCardinality(String) COMMENT 'Site id',
    `session` FixedString(16) COMMENT 'Session of lane decide, never a known bot' CODEC(ZSTD(1)),
    `environment` SimpleAggregateFunction(max, LowCardinality(String)) COMMENT 'Environment of the site',
    `visitor` SimpleAggregateFunction(max, FixedString(16)) COMMENT 'Visitor of the session' CODEC(ZSTD(1)),
    `started_at` SimpleAggregateFunction(min, DateTime64(3, 'UTC')) COMMENT 'First event' CODEC(ZSTD(1)),
    `ended_at` SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'Last event' CODEC(ZSTD(1)),
    `events` SimpleAggregateFunction(groupUniqArrayArray, Array(UInt64)) COMMENT 'Each event once: hash of its id x 8, and what it was, as in visitor_activity' CODEC(ZSTD(1)),
    `orders` SimpleAggregateFunction(groupUniqArrayArray, Array(FixedString(16))) COMMENT 'order_key of the purchases' CODEC(ZSTD(1)),
    `entry_path` SimpleAggregateFunction(max, String) COMMENT 'Path of the first page, behind 8 bytes of time left' CODEC(ZSTD(1)),
    `exit_path` SimpleAggregateFunction(max, String) COMMENT 'Path of the last page, behind 8 bytes of its time' CODEC(ZSTD(1)),
    `referrer` SimpleAggregateFunction(max, String) COMMENT 'First referrer that was not empty, behind 8 bytes of time left' CODEC(ZSTD(1)),
    `utm_source` SimpleAggregateFunction(max, String) COMMENT 'First utm_source that was not empty, behind 8 bytes of time left' CODEC(ZSTD(1)),
    `utm_medium` SimpleAggregateFunction(max, String) COMMENT 'First utm_medium that was not empty, behind 8 bytes of time left' CODEC(ZSTD(1)),
    `utm_campaign` SimpleAggregateFunction(max, String) COMMENT 'First utm_campaign that was not empty, behind 8 bytes of time left' CODEC(ZSTD(1)),
    `country` SimpleAggregateFunction(max, String) COMMENT 'First known country, behind 8 bytes of time left' CODEC(ZSTD(1)),
    `device` SimpleAggregateFunction(max, String) COMMENT 'First known device class, behind 8 bytes of time left' CODEC(ZSTD(1)),
    `browser` SimpleAggregateFunction(max, String) COMMENT 'First known browser family, behind 8 bytes of time left' CODEC(ZSTD(1)),
    `os` SimpleAggregateFunction(max, String) COMMENT 'First known operating system family, behind 8 bytes of time left' CODEC(ZSTD(1)),
    `expires` SimpleAggregateFunction(max, Date) COMMENT 'Day on which the row is deleted, by the event retention of the site'
)
ENGINE = AggregatingMergeTree
ORDER BY (site, session)
TTL expires
SETTINGS non_replicated_deduplication_window = 100000, replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800, fsync_after_insert = 1, fsync_part_directory = 1, merge_with_ttl_timeout = 3600, index_granularity = 8192
COMMENT 'One session each, as values that merge. Analysts read v_sessions';

CREATE TABLE beckon.suppressed
(
    `site` LowCardinality(String) COMMENT 'Site id; empty = told from the list of a host, because the row of the withdrawal did not come',
    `suppress_key` FixedString(16) COMMENT 'Second keyed hash of the visitor: names nobody in any other table once the consent row is gone' CODEC(ZSTD(1)),
    `cause` LowCardinality(String) COMMENT 'opt-out, or denied: a consent was withdrawn',
    `at` DateTime64(3, 'UTC') COMMENT 'When the collector was told' CODEC(ZSTD(1)),
    `added_at` DateTime64(3, 'UTC') COMMENT 'When this row was written, by the clock of the server' CODEC(Delta(8), ZSTD(1)),
    `expires` Date COMMENT 'Day on which the row is deleted: no cookie of that visitor can be valid any more'
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(added_at)
ORDER BY (site, suppress_key)
TTL expires
SETTINGS non_replicated_deduplication_window = 100000, replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800, fsync_after_insert = 1, fsync_part_directory = 1, merge_with_ttl_timeout = 3600, index_granularity = 8192
COMMENT 'Visitors who opted out or withdrew: nobody to any collector or aggregator';

CREATE TABLE beckon.traffic
(
    `site` LowCardinality(String) COMMENT 'Site id',
    `environment` LowCardinality(String) COMMENT 'Environment of the site',
    `bucket` DateTime('UTC') COMMENT 'Start of a quarter of an hour, by occurred_at' CODEC(Delta(4), ZSTD(1)),
    `lane` LowCardinality(String) COMMENT 'count, measure or decide',
    `events` UInt64 COMMENT 'Events of people, each id once' CODEC(T64, ZSTD(1)),
    `pageviews` UInt64 COMMENT 'page_view events of people' CODEC(T64, ZSTD(1)),
    `product_views` UInt64 COMMENT 'product_view events of people' CODEC(T64, ZSTD(1)),
    `cart_adds` UInt64 COMMENT 'cart_add events of people' CODEC(T64, ZSTD(1)),
    `checkout_starts` UInt64 COMMENT 'checkout_start events of people' CODEC(T64, ZSTD(1)),
    `purchases` UInt64 COMMENT 'purchase events of people; orders and money are in the table orders' CODEC(T64, ZSTD(1)),
    `visitors` UInt64 COMMENT 'Different visitors within this quarter; in lane measure an estimate; 0 in lane count' CODEC(T64, ZSTD(1)),
    `sessions` UInt64 COMMENT 'Different sessions within this quarter' CODEC(T64, ZSTD(1)),
    `bot_events` UInt64 COMMENT 'Events of known bots, in no other column' CODEC(T64, ZSTD(1)),
    `built_at` DateTime('UTC') COMMENT 'When the cell was counted' CODEC(Delta(4), ZSTD(1)),
    `expires` Date COMMENT 'Day on which the row is deleted'
)
ENGINE = ReplacingMergeTree(built_at)
ORDER BY (site, environment, bucket, lane)
TTL expires
SETTINGS non_replicated_deduplication_window = 100000, replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800, fsync_after_insert = 1, fsync_part_directory = 1, merge_with_ttl_timeout = 3600, index_granularity = 8192
COMMENT 'Totals of each quarter of an hour (UTC). Analysts read report_traffic';

CREATE TABLE beckon.traffic_touched
(
    `site` LowCardinality(String) COMMENT 'Site id',
    `environment` LowCardinality(String) COMMENT 'Environment of the site',
    `bucket` DateTime('UTC') COMMENT 'Start of a quarter of an hour, by occurred_at' CODEC(Delta(4), ZSTD(1)),
    `touched_at` DateTime('UTC') COMMENT 'When the last insert with events of that quarter began' CODEC(Delta(4), ZSTD(1)),
    `expires` Date COMMENT 'Day on which the row is deleted'
)
ENGINE = ReplacingMergeTree(touched_at)
ORDER BY (site, environment, bucket)
TTL expires
SETTINGS non_replicated_deduplication_window = 100000, replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800, fsync_after_insert = 1, fsync_part_directory = 1, merge_with_ttl_timeout = 3600, index_granularity = 8192
COMMENT 'Quarter hours that traffic has to count again';

CREATE VIEW beckon.v_decisions
(
    `site` LowCardinality(String) COMMENT 'Site id',
    `environment` LowCardinality(String) COMMENT 'production, staging ... of sites.yaml',
    `decided_at` DateTime64(3, 'UTC') COMMENT 'When the first of the folded requests was answered',
    `decision_id` String COMMENT 'As in the reply and the token, 32 hexadecimal digits; empty = no offer in question',
    `visitor` String COMMENT 'Visitor, 32 hexadecimal digits; empty = none',
    `session` String COMMENT 'Session, 32 hexadecimal digits; empty = none',
    `lane` LowCardinality(String) COMMENT 'Lane of the request: count, measure or decide',
    `offer` LowCardinality(String) COMMENT 'Offer that won or was withheld; empty = none',
    `rule` String COMMENT 'Offer and version of its rule',
    `arm` LowCardinality(String) COMMENT 'treatment or holdout; empty = not drawn',
    `experiment` UInt32 COMMENT 'Number of the experiment of that offer, part of the draw; 0 = none was drawn for',
    `holdout` Float64 COMMENT 'Share of the holdout of that offer at that time, 0 to 1',
    `reason` LowCardinality(String) COMMENT 'Why: TARGETING_MATCH, HOLDOUT, COOLDOWN, DEFAULT ...',
    `eligible` UInt8 COMMENT '1 = the offer was given',
    `first_serve` UInt8 COMMENT '1 = first serve of a grant, or of an assignment to the holdout: count these for lift',
    `personalised` UInt8 COMMENT '1 = visitor data was used',
    `valid_until` Nullable(DateTime64(3, 'UTC')) COMMENT 'End of the grant; NULL = none',
    `fresh_at` Nullable(DateTime64(3, 'UTC')) COMMENT 'When the features were read, or up to when the changes are known to be complete, if that is later. An acknowledged event that is not loaded yet is not in them; NULL = no features were used',
    `gates` Array(Tuple(
        gate LowCardinality(String),
        pass UInt8,
        detail String)) COMMENT 'Every gate in order, whether it let pass, and what it compared; of an offer to everyone only its own',
    `features` Map(LowCardinality(String), String) COMMENT 'Features that the rules of the site read, with their values',
    `repeats` UInt32 COMMENT 'Further requests of this minute with the same verdict'
)
COMMENT 'Decisions, each explained: rule, gates, the values that were compared'
AS SELECT *
FROM beckon.v_decisions_all
WHERE environment = 'production';

CREATE VIEW beckon.v_decisions_all
(
    `site` LowCardinality(String) COMMENT 'Site id',
    `environment` LowCardinality(String) COMMENT 'production, staging ... of sites.yaml',
    `decided_at` DateTime64(3, 'UTC') COMMENT 'When the first of the folded requests was answered',
    `decision_id` String COMMENT 'As in the reply and the token, 32 hexadecimal digits; empty = no offer in question',
    `visitor` String COMMENT 'Visitor, 32 hexadecimal digits; empty = none',
    `session` String COMMENT 'Session, 32 hexadecimal digits; empty = none',
    `lane` LowCardinality(String) COMMENT 'Lane of the request: count, measure or decide',
    `offer` LowCardinality(String) COMMENT 'Offer that won or was withheld; empty = none',
    `rule` String COMMENT 'Offer and version of its rule',
    `arm` LowCardinality(String) COMMENT 'treatment or holdout; empty = not drawn',
    `experiment` UInt32 COMMENT 'Number of the experiment of that offer, part of the draw; 0 = none was drawn for',
    `holdout` Float64 COMMENT 'Share of the holdout of that offer at that time, 0 to 1',
    `reason` LowCardinality(String) COMMENT 'Why: TARGETING_MATCH, HOLDOUT, COOLDOWN, DEFAULT ...',
    `eligible` UInt8 COMMENT '1 = the offer was given',
    `first_serve` UInt8 COMMENT '1 = first serve of a grant, or of an assignment to the holdout: count these for lift',
    `personalised` UInt8 COMMENT '1 = visitor data was used',
    `valid_until` Nullable(DateTime64(3, 'UTC')) COMMENT 'End of the grant; NULL = none',
    `fresh_at` Nullable(DateTime64(3, 'UTC')) COMMENT 'When the features were read, or up to when the changes are known to be complete, if that is later. An acknowledged event that is not loaded yet is not in them; NULL = no features were used',
    `gates` Array(Tuple(
        gate LowCardinality(String),
        pass UInt8,
        detail String)) COMMENT 'Every gate in order, whether it let pass, and what it compared; of an offer to everyone only its own',
    `features` Map(LowCardinality(String), String) COMMENT 'Features that the rules of the site read, with their values',
    `repeats` UInt32 COMMENT 'Further requests of this minute with the same verdict'
)
COMMENT 'Decisions, each explained: rule, gates, the values that were compared, of every environment'
AS SELECT
    d.site AS site,
    d.environment AS environment,
    d.decided_at AS decided_at,
    if(d.decision_id = toFixedString('', 16), '', lower(hex(d.decision_id))) AS decision_id,
    if(d.visitor = toFixedString('', 16), '', lower(hex(d.visitor))) AS visitor,
    if(d.session = toFixedString('', 16), '', lower(hex(d.session))) AS session,
    d.lane AS lane,
    d.offer AS offer,
    d.rule AS rule,
    d.arm AS arm,
    d.experiment AS experiment,
    d.holdout AS holdout,
    d.reason AS reason,
    d.eligible AS eligible,
    d.first_serve AS first_serve,
    d.personalised AS personalised,
    nullIf(d.valid_until, toDateTime64(0, 3, 'UTC')) AS valid_until,
    nullIf(d.fresh_at, toDateTime64(0, 3, 'UTC')) AS fresh_at,
    d.gates AS gates,
    d.features AS features,
    d.repeats AS repeats
FROM beckon.decisions AS d
FINAL
WHERE d.expires > today();

CREATE VIEW beckon.v_events
(
    `site` LowCardinality(String) COMMENT 'Site id; name it in WHERE, it is what makes the query short',
    `environment` LowCardinality(String) COMMENT 'production, staging ... of sites.yaml',
    `event_id` String COMMENT 'UUIDv7 of the event; each is here once',
    `kind` LowCardinality(String) COMMENT 'page_view, product_view, cart_add, purchase ...; consent = a choice was made',
    `source` LowCardinality(String) COMMENT 'Who told us: pixel, beacon (browser), server, import, collector',
    `lane` LowCardinality(String) COMMENT 'What the event may be used for: count (totals), measure (traffic reports), decide (personalised offers)',
    `cause` LowCardinality(String) COMMENT 'Why it is in that lane: default, country, choice, recorded, denied, gpc, dnt, opt-out, no-key (lane measure without the key of the day)',
    `received_at` DateTime64(3, 'UTC') COMMENT 'When the collector got it',
    `occurred_at` DateTime64(3, 'UTC') COMMENT 'When it happened, by the corrected clock of the sender',
    `visitor` String COMMENT 'Keyed hash of the visitor, 32 hexadecimal digits; empty = none',
    `session` String COMMENT 'Keyed hash of the session, 32 hexadecimal digits; empty = none',
    `visitor_since` Nullable(DateTime64(3, 'UTC')) COMMENT 'Creation of the visitor cookie; NULL = none',
    `network` String COMMENT 'Truncated address: 203.0.113.0/24 or 2001:db8::/40; empty = unknown',
    `country` LowCardinality(String) COMMENT 'ISO 3166-1 alpha-2; empty = unknown',
    `region` LowCardinality(String) COMMENT 'ISO 3166-2 subdivision; empty = unknown',
    `device` LowCardinality(String) COMMENT 'desktop, mobile, tablet ...; empty = unknown',
    `browser` LowCardinality(String) COMMENT 'Browser family; empty = unknown',
    `os` LowCardinality(String) COMMENT 'Operating system family; empty = unknown',
    `bot` UInt8 COMMENT '1 = a program',
    `bot_reason` LowCardinality(String) COMMENT 'Why it is taken for a program',
    `path` String COMMENT 'Page path without query',
    `referrer` LowCardinality(String) COMMENT 'Host of the referring page; empty = none or the shop itself',
    `utm_source` LowCardinality(String) COMMENT 'utm_source of the page address',
    `utm_medium` LowCardinality(String) COMMENT 'utm_medium of the page address',
    `utm_campaign` String COMMENT 'utm_campaign of the page address',
    `product` String COMMENT 'Product id',
    `variant` String COMMENT 'Variant id',
    `category` String COMMENT 'Product category or collection',
    `quantity` UInt32 COMMENT 'Units; 0 = not said',
    `currency` LowCardinality(String) COMMENT 'ISO 4217 code of the amounts; empty = none',
    `rate` Decimal(18, 8) COMMENT 'Units of the currency of the site for one unit of currency; 0 = unknown',
    `price` Nullable(Decimal(18, 4)) COMMENT 'Price of one unit, in currency',
    `cart_value` Nullable(Decimal(18, 4)) COMMENT 'Value of the cart after this event, in currency',
    `cart_value_site` Nullable(Decimal(38, 4)) COMMENT 'cart_value in the currency of the site; NULL = none or no known rate',
    `value` Nullable(Decimal(18, 4)) COMMENT 'Order total net of discount, tax and shipping, or amount of a refund, in currency. Add up v_orders instead: two sources report one order',
    `value_site` Nullable(Decimal(38, 4)) COMMENT 'value in the currency of the site; NULL = none or no known rate',
    `discount` Nullable(Decimal(18, 4)) COMMENT 'Discount, in currency',
    `tax` Nullable(Decimal(18, 4)) COMMENT 'Tax, in currency',
    `shipping` Nullable(Decimal(18, 4)) COMMENT 'Shipping, in currency',
    `items.product` Array(String) COMMENT 'Lines of the order: product ids',
    `items.variant` Array(String) COMMENT 'Lines of the order: variant ids',
    `items.quantity` Array(UInt32) COMMENT 'Lines of the order: units',
    `items.price` Array(Decimal(18, 4)) COMMENT 'Lines of the order: price of one unit',
    `order_key` String COMMENT 'Keyed hash of the order number, as in v_orders; empty = none',
    `coupon_key` String COMMENT 'Keyed hash of the coupon code; empty = none',
    `customer_key` String COMMENT 'Keyed hash of the customer id; empty = none',
    `offer` LowCardinality(String) COMMENT 'Offer id of sites.yaml',
    `decision` String COMMENT 'decision_id that the event answers, as in v_decisions',
    `query_length` UInt16 COMMENT 'Length of the search text, which is not stored',
    `choice` LowCardinality(String) COMMENT 'Of a consent row: the lane that was chosen',
    `consent_source` LowCardinality(String) COMMENT 'Of a consent row: the banner or interface',
    `consent_policy` LowCardinality(String) COMMENT 'Of a consent row: version of the policy text',
    `consent_at` Nullable(DateTime64(3, 'UTC')) COMMENT 'Of a consent row: when the choice was made'
)
COMMENT 'Events, each id once'
AS SELECT *
FROM beckon.v_events_all
WHERE environment = 'production';

CREATE VIEW beckon.v_events_all
(
    `site` LowCardinality(String) COMMENT 'Site id; name it in WHERE, it is what makes the query short',
    `environment` LowCardinality(String) COMMENT 'production, staging ... of sites.yaml',
    `event_id` String COMMENT 'UUIDv7 of the event; each is here once',
    `kind` LowCardinality(String) COMMENT 'page_view, product_view, cart_add, purchase ...; consent = a choice was made',
    `source` LowCardinality(String) COMMENT 'Who told us: pixel, beacon (browser), server, import, collector',
    `lane` LowCardinality(String) COMMENT 'What the event may be used for: count (totals), measure (traffic reports), decide (personalised offers)',
    `cause` LowCardinality(String) COMMENT 'Why it is in that lane: default, country, choice, recorded, denied, gpc, dnt, opt-out, no-key (lane measure without the key of the day)',
    `received_at` DateTime64(3, 'UTC') COMMENT 'When the collector got it',
    `occurred_at` DateTime64(3, 'UTC') COMMENT 'When it happened, by the corrected clock of the sender',
    `visitor` String COMMENT 'Keyed hash of the visitor, 32 hexadecimal digits; empty = none',
    `session` String COMMENT 'Keyed hash of the session, 32 hexadecimal digits; empty = none',
    `visitor_since` Nullable(DateTime64(3, 'UTC')) COMMENT 'Creation of the visitor cookie; NULL = none',
    `network` String COMMENT 'Truncated address: 203.0.113.0/24 or 2001:db8::/40; empty = unknown',
    `country` LowCardinality(String) COMMENT 'ISO 3166-1 alpha-2; empty = unknown',
    `region` LowCardinality(String) COMMENT 'ISO 3166-2 subdivision; empty = unknown',
    `device` LowCardinality(String) COMMENT 'desktop, mobile, tablet ...; empty = unknown',
    `browser` LowCardinality(String) COMMENT 'Browser family; empty = unknown',
    `os` LowCardinality(String) COMMENT 'Operating system family; empty = unknown',
    `bot` UInt8 COMMENT '1 = a program',
    `bot_reason` LowCardinality(String) COMMENT 'Why it is taken for a program',
    `path` String COMMENT 'Page path without query',
    `referrer` LowCardinality(String) COMMENT 'Host of the referring page; empty = none or the shop itself',
    `utm_source` LowCardinality(String) COMMENT 'utm_source of the page address',
    `utm_medium` LowCardinality(String) COMMENT 'utm_medium of the page address',
    `utm_campaign` String COMMENT 'utm_campaign of the page address',
    `product` String COMMENT 'Product id',
    `variant` String COMMENT 'Variant id',
    `category` String COMMENT 'Product category or collection',
    `quantity` UInt32 COMMENT 'Units; 0 = not said',
    `currency` LowCardinality(String) COMMENT 'ISO 4217 code of the amounts; empty = none',
    `rate` Decimal(18, 8) COMMENT 'Units of the currency of the site for one unit of currency; 0 = unknown',
    `price` Nullable(Decimal(18, 4)) COMMENT 'Price of one unit, in currency',
    `cart_value` Nullable(Decimal(18, 4)) COMMENT 'Value of the cart after this event, in currency',
    `cart_value_site` Nullable(Decimal(38, 4)) COMMENT 'cart_value in the currency of the site; NULL = none or no known rate',
    `value` Nullable(Decimal(18, 4)) COMMENT 'Order total net of discount, tax and shipping, or amount of a refund, in currency. Add up v_orders instead: two sources report one order',
    `value_site` Nullable(Decimal(38, 4)) COMMENT 'value in the currency of the site; NULL = none or no known rate',
    `discount` Nullable(Decimal(18, 4)) COMMENT 'Discount, in currency',
    `tax` Nullable(Decimal(18, 4)) COMMENT 'Tax, in currency',
    `shipping` Nullable(Decimal(18, 4)) COMMENT 'Shipping, in currency',
    `items.product` Array(String) COMMENT 'Lines of the order: product ids',
    `items.variant` Array(String) COMMENT 'Lines of the order: variant ids',
    `items.quantity` Array(UInt32) COMMENT 'Lines of the order: units',
    `items.price` Array(Decimal(18, 4)) COMMENT 'Lines of the order: price of one unit',
    `order_key` String COMMENT 'Keyed hash of the order number, as in v_orders; empty = none',
    `coupon_key` String COMMENT 'Keyed hash of the coupon code; empty = none',
    `customer_key` String COMMENT 'Keyed hash of the customer id; empty = none',
    `offer` LowCardinality(String) COMMENT 'Offer id of sites.yaml',
    `decision` String COMMENT 'decision_id that the event answers, as in v_decisions',
    `query_length` UInt16 COMMENT 'Length of the search text, which is not stored',
    `choice` LowCardinality(String) COMMENT 'Of a consent row: the lane that was chosen',
    `consent_source` LowCardinality(String) COMMENT 'Of a consent row: the banner or interface',
    `consent_policy` LowCardinality(String) COMMENT 'Of a consent row: version of the policy text',
    `consent_at` Nullable(DateTime64(3, 'UTC')) COMMENT 'Of a consent row: when the choice was made'
)
COMMENT 'Events, each id once, of every environment'
AS SELECT
    e.site AS site,
    e.environment AS environment,
    UUIDNumToString(e.event_id) AS event_id,
    e.kind AS kind,
    e.source AS source,
    e.lane AS lane,
    e.cause AS cause,
    e.received_at AS received_at,
    e.occurred_at AS occurred_at,
    if(e.visitor = toFixedString('', 16), '', lower(hex(e.visitor))) AS visitor,
    if(e.session = toFixedString('', 16), '', lower(hex(e.session))) AS session,
    nullIf(e.visitor_since, toDateTime64(0, 3, 'UTC')) AS visitor_since,
    e.network AS network,
    e.country AS country,
    e.region AS region,
    e.device AS device,
    e.browser AS browser,
    e.os AS os,
    e.bot AS bot,
    e.bot_reason AS bot_reason,
    e.path AS path,
    e.referrer AS referrer,
    e.utm_source AS utm_source,
    e.utm_medium AS utm_medium,
    e.utm_campaign AS utm_campaign,
    e.product AS product,
    e.variant AS variant,
    e.category AS category,
    e.quantity AS quantity,
    e.currency AS currency,
    e.rate AS rate,
    e.price AS price,
    e.cart_value AS cart_value,
    e.cart_value_site AS cart_value_site,
    e.value AS value,
    e.value_site AS value_site,
    e.discount AS discount,
    e.tax AS tax,
    e.shipping AS shipping,
    e.`items.product` AS `items.product`,
    e.`items.variant` AS `items.variant`,
    e.`items.quantity` AS `items.quantity`,
    e.`items.price` AS `items.price`,
    if(e.order_key = toFixedString('', 16), '', lower(hex(e.order_key))) AS order_key,
    if(e.coupon_key = toFixedString('', 16), '', lower(hex(e.coupon_key))) AS coupon_key,
    if(e.customer_key = toFixedString('', 16), '', lower(hex(e.customer_key))) AS customer_key,
    e.offer AS offer,
    e.decision AS decision,
    e.query_length AS query_length,
    e.choice AS choice,
    e.consent_source AS consent_source,
    e.consent_policy AS consent_policy,
    nullIf(e.consent_at, toDateTime64(0, 3, 'UTC')) AS consent_at
FROM beckon.events AS e
WHERE (e.expires > today()) AND (NOT ((e.source IN ('pixel', 'beacon')) AND ((e.site, e.environment, e.event_id) IN (
    SELECT
        s.site,
        s.environment,
        s.event_id
    FROM beckon.events AS s
    WHERE (s.source IN ('server', 'import')) AND (s.expires > today())
))))
LIMIT 1 BY
    e.site,
    e.environment,
    e.event_id;

CREATE VIEW beckon.v_events_between
COMMENT 'Production events of one site and some days (UTC, both included), each id once; columns as in events, but suppress_key'
AS SELECT * EXCEPT suppress_key
FROM beckon.events
WHERE (site = {site:String}) AND ((toDate(occurred_at) >= {since:Date}) AND (toDate(occurred_at) <= {until:Date})) AND (environment = 'production') AND (expires > today()) AND (NOT ((source IN ('pixel', 'beacon')) AND (event_id IN (
    SELECT event_id
    FROM beckon.events
    WHERE (site = {site:String}) AND ((toDate(occurred_at) >= {since:Date}) AND (toDate(occurred_at) <= {until:Date})) AND (environment = 'production') AND (source IN ('server', 'import')) AND (expires > today())
))))
LIMIT 1 BY
    site,
    event_id;

CREATE VIEW beckon.v_orders
(
    `site` LowCardinality(String) COMMENT 'Site id',
    `environment` LowCardinality(String) COMMENT 'production, staging ... of sites.yaml',
    `order_key` String COMMENT 'Keyed hash of the order number, 32 hexadecimal digits',
    `placed_at` Nullable(DateTime64(3, 'UTC')) COMMENT 'First report of the purchase; NULL = only a refund is known',
    `reported_by` String COMMENT 'Whose amounts these are: server, import or browser; empty = only a refund is known',
    `sources` Array(String) COMMENT 'Everybody who reported the purchase',
    `currency` String COMMENT 'ISO 4217 code of value, discount, tax and shipping',
    `value` Nullable(Decimal(18, 4)) COMMENT 'Total net of discount, tax and shipping, before refunds, in currency',
    `discount` Nullable(Decimal(18, 4)) COMMENT 'Discount, in currency',
    `tax` Nullable(Decimal(18, 4)) COMMENT 'Tax, in currency',
    `shipping` Nullable(Decimal(18, 4)) COMMENT 'Shipping, in currency',
    `units` UInt64 COMMENT 'Units sold, where lines were reported',
    `value_site` Nullable(Decimal(38, 4)) COMMENT 'value in the currency of the site; NULL = no amount or no known rate',
    `refunds` UInt64 COMMENT 'Refunds',
    `refunded_site` Decimal(38, 4) COMMENT 'Paid back, in the currency of the site; a refund without amount is the whole order',
    `net_site` Nullable(Decimal(38, 4)) COMMENT 'value_site less refunded_site, at least 0: add this up for revenue; NULL = no amount or no known rate',
    `unconverted` UInt64 COMMENT 'Amounts of this order left out of the sums, as their currency has no known rate',
    `visitor` String COMMENT 'Visitor, 32 hexadecimal digits; empty = unknown',
    `session` String COMMENT 'Session, 32 hexadecimal digits; empty = unknown',
    `customer_key` String COMMENT 'Keyed hash of the customer id; empty = unknown',
    `coupon_key` String COMMENT 'Keyed hash of the coupon code; empty = none',
    `offer` String COMMENT 'Offer that was redeemed; empty = none',
    `decision` String COMMENT 'decision_id of that offer, as in v_decisions; empty = none'
)
COMMENT 'Orders, each once, with the amounts of the most trusted report'
AS SELECT *
FROM beckon.v_orders_all
WHERE environment = 'production';

CREATE VIEW beckon.v_orders_all
(
    `site` LowCardinality(String) COMMENT 'Site id',
    `environment` LowCardinality(String) COMMENT 'production, staging ... of sites.yaml',
    `order_key` String COMMENT 'Keyed hash of the order number, 32 hexadecimal digits',
    `placed_at` Nullable(DateTime64(3, 'UTC')) COMMENT 'First report of the purchase; NULL = only a refund is known',
    `reported_by` String COMMENT 'Whose amounts these are: server, import or browser; empty = only a refund is known',
    `sources` Array(String) COMMENT 'Everybody who reported the purchase',
    `currency` String COMMENT 'ISO 4217 code of value, discount, tax and shipping',
    `value` Nullable(Decimal(18, 4)) COMMENT 'Total net of discount, tax and shipping, before refunds, in currency',
    `discount` Nullable(Decimal(18, 4)) COMMENT 'Discount, in currency',
    `tax` Nullable(Decimal(18, 4)) COMMENT 'Tax, in currency',
    `shipping` Nullable(Decimal(18, 4)) COMMENT 'Shipping, in currency',
    `units` UInt64 COMMENT 'Units sold, where lines were reported',
    `value_site` Nullable(Decimal(38, 4)) COMMENT 'value in the currency of the site; NULL = no amount or no known rate',
    `refunds` UInt64 COMMENT 'Refunds',
    `refunded_site` Decimal(38, 4) COMMENT 'Paid back, in the currency of the site; a refund without amount is the whole order',
    `net_site` Nullable(Decimal(38, 4)) COMMENT 'value_site less refunded_site, at least 0: add this up for revenue; NULL = no amount or no known rate',
    `unconverted` UInt64 COMMENT 'Amounts of this order left out of the sums, as their currency has no known rate',
    `visitor` String COMMENT 'Visitor, 32 hexadecimal digits; empty = unknown',
    `session` String COMMENT 'Session, 32 hexadecimal digits; empty = unknown',
    `customer_key` String COMMENT 'Keyed hash of the customer id; empty = unknown',
    `coupon_key` String COMMENT 'Keyed hash of the coupon code; empty = none',
    `offer` String COMMENT 'Offer that was redeemed; empty = none',
    `decision` String COMMENT 'decision_id of that offer, as in v_decisions; empty = none'
)
COMMENT 'Orders, each once, with the amounts of the most trusted report, of every environment'
AS WITH
    orders_once AS
    (
        SELECT
            o.site AS site,
            o.order_key AS order_key,
            max(o.environment) AS environment,
            max(o.trust) AS trust,
            minMerge(o.placed_at) AS placed_at,
            argMaxMerge(o.facts) AS facts,
            groupUniqArrayArray(o.refunds) AS refunds,
            argMaxMerge(o.visitor) AS visitor,
            argMaxMerge(o.session) AS session,
            argMaxMerge(o.customer_key) AS customer_key,
            argMaxMerge(o.coupon_key) AS coupon_key,
            argMaxMerge(o.offer) AS offer,
            argMaxMerge(o.decision) AS decision,
            arraySort(groupUniqArrayArray(o.sources)) AS sources
        FROM beckon.orders AS o
        WHERE o.expires > today()
        GROUP BY
            o.site,
            o.order_key
    )
SELECT
    o.site AS site,
    o.environment AS environment,
    lower(hex(o.order_key)) AS order_key,
    if(o.trust = 0, NULL, o.placed_at) AS placed_at,
    multiIf(o.trust = 3, 'server', o.trust = 2, 'import', o.trust = 1, 'browser', '') AS reported_by,
    o.sources AS sources,
    o.facts.currency AS currency,
    o.facts.value AS value,
    o.facts.discount AS discount,
    o.facts.tax AS tax,
    o.facts.shipping AS shipping,
    o.facts.units AS units,
    o.facts.value_site AS value_site,
    length(o.refunds) AS refunds,
    if(arrayExists(r -> (r.amount IS NULL), o.refunds), ifNull(o.facts.value_site, toDecimal128(0, 4)), arraySum(arrayMap(r -> ifNull(r.amount_site, toDecimal128(0, 4)), o.refunds))) AS refunded_site,
    if(o.facts.value_site IS NULL, NULL, greatest(o.facts.value_site - refunded_site, toDecimal128(0, 4))) AS net_site,
    toUInt64((o.facts.value IS NOT NULL) AND (o.facts.value_site IS NULL)) + arrayCount(r -> ((r.amount IS NOT NULL) AND (r.amount_site IS NULL)), o.refunds) AS unconverted,
    if(o.visitor = toFixedString('', 16), '', lower(hex(o.visitor))) AS visitor,
    if(o.session = toFixedString('', 16), '', lower(hex(o.session))) AS session,
    if(o.customer_key = toFixedString('', 16), '', lower(hex(o.customer_key))) AS customer_key,
    if(o.coupon_key = toFixedString('', 16), '', lower(hex(o.coupon_key))) AS coupon_key,
    o.offer AS offer,
    o.decision AS decision
FROM orders_once AS o;

CREATE VIEW beckon.v_sessions
(
    `site` LowCardinality(String) COMMENT 'Site id',
    `environment` LowCardinality(String) COMMENT 'production, staging ... of sites.yaml',
    `session` String COMMENT 'Session, 32 hexadecimal digits',
    `visitor` String COMMENT 'Visitor, 32 hexadecimal digits',
    `started_at` DateTime64(3, 'UTC') COMMENT 'First event',
    `ended_at` DateTime64(3, 'UTC') COMMENT 'Last event',
    `seconds` UInt32 COMMENT 'From the first to the last event; 0 = a single event',
    `events` UInt64 COMMENT 'Events, each id once',
    `pageviews` UInt64 COMMENT 'Pages viewed',
    `product_views` UInt64 COMMENT 'Product pages viewed',
    `cart_adds` UInt64 COMMENT 'Additions to the cart',
    `checkout_starts` UInt64 COMMENT 'Checkouts begun',
    `orders` UInt64 COMMENT 'Orders placed',
    `entry_path` String COMMENT 'Path of the first page',
    `exit_path` String COMMENT 'Path of the last page',
    `referrer` String COMMENT 'Host that the visitor came from; empty = none',
    `utm_source` String COMMENT 'First utm_source',
    `utm_medium` String COMMENT 'First utm_medium',
    `utm_campaign` String COMMENT 'First utm_campaign',
    `channel` String COMMENT 'Where the session came from, by its first utm_medium, utm_source and referrer: paid, email, affiliate, social, search, campaign (other utm), referral, direct',
    `country` String COMMENT 'ISO 3166-1 alpha-2; empty = unknown',
    `device` String COMMENT 'desktop, mobile, tablet ...; empty = unknown',
    `browser` String COMMENT 'Browser family; empty = unknown',
    `os` String COMMENT 'Operating system family; empty = unknown'
)
COMMENT 'Sessions of visitors in lane decide, without bots'
AS SELECT *
FROM beckon.v_sessions_all
WHERE environment = 'production';

CREATE VIEW beckon.v_sessions_all
(
    `site` LowCardinality(String) COMMENT 'Site id',
    `environment` LowCardinality(String) COMMENT 'production, staging ... of sites.yaml',
    `session` String COMMENT 'Session, 32 hexadecimal digits',
    `visitor` String COMMENT 'Visitor, 32 hexadecimal digits',
    `started_at` DateTime64(3, 'UTC') COMMENT 'First event',
    `ended_at` DateTime64(3, 'UTC') COMMENT 'Last event',
    `seconds` UInt32 COMMENT 'From the first to the last event; 0 = a single event',
    `events` UInt64 COMMENT 'Events, each id once',
    `pageviews` UInt64 COMMENT 'Pages viewed',
    `product_views` UInt64 COMMENT 'Product pages viewed',
    `cart_adds` UInt64 COMMENT 'Additions to the cart',
    `checkout_starts` UInt64 COMMENT 'Checkouts begun',
    `orders` UInt64 COMMENT 'Orders placed',
    `entry_path` String COMMENT 'Path of the first page',
    `exit_path` String COMMENT 'Path of the last page',
    `referrer` String COMMENT 'Host that the visitor came from; empty = none',
    `utm_source` String COMMENT 'First utm_source',
    `utm_medium` String COMMENT 'First utm_medium',
    `utm_campaign` String COMMENT 'First utm_campaign',
    `channel` String COMMENT 'Where the session came from, by its first utm_medium, utm_source and referrer: paid, email, affiliate, social, search, campaign (other utm), referral, direct',
    `country` String COMMENT 'ISO 3166-1 alpha-2; empty = unknown',
    `device` String COMMENT 'desktop, mobile, tablet ...; empty = unknown',
    `browser` String COMMENT 'Browser family; empty = unknown',
    `os` String COMMENT 'Operating system family; empty = unknown'
)
COMMENT 'Sessions of visitors in lane decide, without bots, of every environment'
AS SELECT
    o.site AS site,
    o.environment AS environment,
    o.session AS session,
    o.visitor AS visitor,
    o.started_at AS started_at,
    o.ended_at AS ended_at,
    o.seconds AS seconds,
    o.events AS events,
    o.pageviews AS pageviews,
    o.product_views AS product_views,
    o.cart_adds AS cart_adds,
    o.checkout_starts AS checkout_starts,
    o.orders AS orders,
    o.entry_path AS entry_path,
    o.exit_path AS exit_path,
    o.referrer AS referrer,
    o.utm_source AS utm_source,
    o.utm_medium AS utm_medium,
    o.utm_campaign AS utm_campaign,
    multiIf(match(lower(o.utm_medium), '^(cpc|ppc|cpm|cpv|cpa|display|banner|retargeting|paid)'), 'paid', match(lower(o.utm_medium), '^(e-?mail|newsletter)') OR match(lower(o.utm_source), '^(e-?mail|newsletter)'), 'email', match(lower(o.utm_medium), '^affiliate'), 'affiliate', match(lower(o.utm_medium), '^social') OR match(lower(o.utm_source), '(^|\\.)(facebook|instagram|tiktok|pinterest|linkedin|reddit|youtube|snapchat|threads|twitter)(\\.|$)|^(t\\.co|x\\.com)$') OR match(lower(o.referrer), '(^|\\.)(facebook|instagram|tiktok|pinterest|linkedin|reddit|youtube|snapchat|threads|twitter)(\\.|$)|^(t\\.co|x\\.com)$'), 'social', (lower(o.utm_medium) = 'organic') OR match(lower(o.referrer), '(^|\\.)(google|bing|duckduckgo|yahoo|ecosia|baidu|yandex|qwant|startpage|kagi)\\.|^search\\.brave\\.com$'), 'search', (lower(o.utm_medium) != '') OR (lower(o.utm_source) != ''), 'campaign', lower(o.referrer) != '', 'referral', 'direct') AS channel,
    o.country AS country,
    o.device AS device,
    o.browser AS browser,
    o.os AS os
FROM
(
    SELECT
        s.site AS site,
        max(s.environment) AS environment,
        lower(hex(s.session)) AS session,
        if(max(s.visitor) = toFixedString('', 16), '', lower(hex(max(s.visitor)))) AS visitor,
        min(s.started_at) AS started_at,
        max(s.ended_at) AS ended_at,
        toUInt32(least(greatest(dateDiff('second', min(s.started_at), max(s.ended_at)), 0), 4294967295)) AS seconds,
        length(groupUniqArrayArray(s.events)) AS events,
        arrayCount(x -> (bitAnd(x, 7) = 1), groupUniqArrayArray(s.events)) AS pageviews,
        arrayCount(x -> (bitAnd(x, 7) = 2), groupUniqArrayArray(s.events)) AS product_views,
        arrayCount(x -> (bitAnd(x, 7) = 3), groupUniqArrayArray(s.events)) AS cart_adds,
        arrayCount(x -> (bitAnd(x, 7) = 4), groupUniqArrayArray(s.events)) AS checkout_starts,
        length(groupUniqArrayArray(s.orders)) AS orders,
        substring(max(s.entry_path), 9) AS entry_path,
        substring(max(s.exit_path), 9) AS exit_path,
        substring(max(s.referrer), 9) AS referrer,
        substring(max(s.utm_source), 9) AS utm_source,
        substring(max(s.utm_medium), 9) AS utm_medium,
        substring(max(s.utm_campaign), 9) AS utm_campaign,
        substring(max(s.country), 9) AS country,
        substring(max(s.device), 9) AS device,
        substring(max(s.browser), 9) AS browser,
        substring(max(s.os), 9) AS os
    FROM beckon.sessions AS s
    WHERE s.expires > today()
    GROUP BY
        s.site,
        s.session
    HAVING length(groupUniqArrayArray(s.events)) > 0
) AS o;

CREATE VIEW beckon.v_visitors
(
    `site` LowCardinality(String) COMMENT 'Site id',
    `environment` LowCardinality(String) COMMENT 'production, staging ... of sites.yaml',
    `visitor` String COMMENT 'Visitor, 32 hexadecimal digits',
    `visitor_since` Nullable(DateTime64(3, 'UTC')) COMMENT 'Creation of the visitor cookie; NULL = unknown',
    `first_seen` DateTime64(3, 'UTC') COMMENT 'First event that is still kept',
    `last_seen` DateTime64(3, 'UTC') COMMENT 'Last event',
    `sessions` UInt64 COMMENT 'Sessions',
    `pageviews` UInt64 COMMENT 'Pages viewed',
    `product_views` UInt64 COMMENT 'Product pages viewed',
    `products` UInt64 COMMENT 'Different products viewed',
    `cart_adds` UInt64 COMMENT 'Additions to the cart',
    `checkout_starts` UInt64 COMMENT 'Checkouts begun',
    `orders` UInt64 COMMENT 'Orders placed; their amounts are in v_orders',
    `last_cart` Nullable(DateTime64(3, 'UTC')) COMMENT 'Last addition to the cart or checkout; NULL = never',
    `cart_value` Decimal(38, 4) COMMENT 'Last known value of the cart in the currency of the site; 0 after a purchase',
    `country` String COMMENT 'Last known country; empty = unknown',
    `region` String COMMENT 'Last known region; empty = unknown',
    `device` String COMMENT 'Last known device class; empty = unknown',
    `browser` String COMMENT 'Last known browser family; empty = unknown',
    `os` String COMMENT 'Last known operating system family; empty = unknown',
    `referrer` String COMMENT 'Last referrer',
    `utm_source` String COMMENT 'Last utm_source',
    `utm_medium` String COMMENT 'Last utm_medium',
    `utm_campaign` String COMMENT 'Last utm_campaign'
)
COMMENT 'Visitors of lane decide within the profile retention, without bots'
AS SELECT *
FROM beckon.v_visitors_all
WHERE environment = 'production';

CREATE VIEW beckon.v_visitors_all
(
    `site` LowCardinality(String) COMMENT 'Site id',
    `environment` LowCardinality(String) COMMENT 'production, staging ... of sites.yaml',
    `visitor` String COMMENT 'Visitor, 32 hexadecimal digits',
    `visitor_since` Nullable(DateTime64(3, 'UTC')) COMMENT 'Creation of the visitor cookie; NULL = unknown',
    `first_seen` DateTime64(3, 'UTC') COMMENT 'First event that is still kept',
    `last_seen` DateTime64(3, 'UTC') COMMENT 'Last event',
    `sessions` UInt64 COMMENT 'Sessions',
    `pageviews` UInt64 COMMENT 'Pages viewed',
    `product_views` UInt64 COMMENT 'Product pages viewed',
    `products` UInt64 COMMENT 'Different products viewed',
    `cart_adds` UInt64 COMMENT 'Additions to the cart',
    `checkout_starts` UInt64 COMMENT 'Checkouts begun',
    `orders` UInt64 COMMENT 'Orders placed; their amounts are in v_orders',
    `last_cart` Nullable(DateTime64(3, 'UTC')) COMMENT 'Last addition to the cart or checkout; NULL = never',
    `cart_value` Decimal(38, 4) COMMENT 'Last known value of the cart in the currency of the site; 0 after a purchase',
    `country` String COMMENT 'Last known country; empty = unknown',
    `region` String COMMENT 'Last known region; empty = unknown',
    `device` String COMMENT 'Last known device class; empty = unknown',
    `browser` String COMMENT 'Last known browser family; empty = unknown',
    `os` String COMMENT 'Last known operating system family; empty = unknown',
    `referrer` String COMMENT 'Last referrer',
    `utm_source` String COMMENT 'Last utm_source',
    `utm_medium` String COMMENT 'Last utm_medium',
    `utm_campaign` String COMMENT 'Last utm_campaign'
)
COMMENT 'Visitors of lane decide within the profile retention, without bots, of every environment'
AS SELECT
    a.site AS site,
    max(a.environment) AS environment,
    lower(hex(a.visitor)) AS visitor,
    nullIf(max(a.visitor_since), toDateTime64(0, 3, 'UTC')) AS visitor_since,
    min(a.first_seen) AS first_seen,
    max(a.last_seen) AS last_seen,
    length(groupUniqArrayArray(a.sessions)) AS sessions,
    arrayCount(x -> (bitAnd(x, 7) = 1), groupUniqArrayArray(a.events)) AS pageviews,
    arrayCount(x -> (bitAnd(x, 7) = 2), groupUniqArrayArray(a.events)) AS product_views,
    length(groupUniqArrayArray(a.products)) AS products,
    arrayCount(x -> (bitAnd(x, 7) = 3), groupUniqArrayArray(a.events)) AS cart_adds,
    arrayCount(x -> (bitAnd(x, 7) = 4), groupUniqArrayArray(a.events)) AS checkout_starts,
    length(groupUniqArrayArray(a.orders)) AS orders,
    nullIf(max(a.last_cart), toDateTime64(0, 3, 'UTC')) AS last_cart,
    toDecimal128OrZero(substring(max(a.cart_value), 25), 4) AS cart_value,
    substring(max(a.country), 9) AS country,
    substring(max(a.region), 9) AS region,
    substring(max(a.device), 9) AS device,
    substring(max(a.browser), 9) AS browser,
    substring(max(a.os), 9) AS os,
    substring(max(a.referrer), 9) AS referrer,
    substring(max(a.utm_source), 9) AS utm_source,
    substring(max(a.utm_medium), 9) AS utm_medium,
    substring(max(a.utm_campaign), 9) AS utm_campaign
FROM beckon.visitor_activity AS a
WHERE a.expires > today()
GROUP BY
    a.site,
    a.visitor;

CREATE TABLE beckon.visitor_activity
(
    `site` LowCardinality(String) COMMENT 'Site id',
    `visitor` FixedString(16) COMMENT 'Visitor of lane decide, never a known bot' CODEC(LZ4),
    `hour` DateTime('UTC') COMMENT 'Hour of occurred_at' CODEC(Delta(4), LZ4),
    `environment` SimpleAggregateFunction(max, LowCardinality(String)) COMMENT 'Environment of the site',
    `events` SimpleAggregateFunction(groupUniqArrayArray, Array(UInt64)) COMMENT 'Each event once: hash of its id x 8, and what it was: 1 page_view, 2 product_view, 3 cart_add, 4 checkout_start, 0 else' CODEC(LZ4),
    `sessions` SimpleAggregateFunction(groupUniqArrayArray, Array(FixedString(16))) COMMENT 'Sessions seen in this hour; read with groupUniqArrayArray' CODEC(LZ4),
    `products` SimpleAggregateFunction(groupUniqArrayArray, Array(UInt64)) COMMENT 'sipHash64 of the products viewed in this hour' CODEC(LZ4),
    `orders` SimpleAggregateFunction(groupUniqArrayArray, Array(FixedString(16))) COMMENT 'order_key of purchases in this hour; amounts are in the table orders' CODEC(LZ4),
    `first_seen` SimpleAggregateFunction(min, DateTime64(3, 'UTC')) COMMENT 'First event of the hour' CODEC(LZ4),
    `last_seen` SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'Last event of the hour' CODEC(LZ4),
    `last_cart` SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'Last cart_add or checkout_start of the hour; 1970 = none' CODEC(LZ4),
    `visitor_since` SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'Creation of the visitor cookie; 1970 = none' CODEC(LZ4),
    `cart_value` SimpleAggregateFunction(max, String) COMMENT 'Last known value of the cart in the currency of the site, behind 8 bytes of its time and 16 of its event; a purchase empties it' CODEC(LZ4),
    `country` SimpleAggregateFunction(max, String) COMMENT 'Last known country, behind 8 bytes of its time' CODEC(LZ4),
    `region` SimpleAggregateFunction(max, String) COMMENT 'Last known region, behind 8 bytes of its time' CODEC(LZ4),
    `device` SimpleAggregateFunction(max, String) COMMENT 'Last known device class, behind 8 bytes of its time' CODEC(LZ4),
    `browser` SimpleAggregateFunction(max, String) COMMENT 'Last known browser family, behind 8 bytes of its time' CODEC(LZ4),
    `os` SimpleAggregateFunction(max, String) COMMENT 'Last known operating system family, behind 8 bytes of its time' CODEC(LZ4),
    `referrer` SimpleAggregateFunction(max, String) COMMENT 'Last referrer that was not empty, behind 8 bytes of its time' CODEC(LZ4),
    `utm_source` SimpleAggregateFunction(max, String) COMMENT 'Last utm_source that was not empty, behind 8 bytes of its time' CODEC(LZ4),
    `utm_medium` SimpleAggregateFunction(max, String) COMMENT 'Last utm_medium that was not empty, behind 8 bytes of its time' CODEC(LZ4),
    `utm_campaign` SimpleAggregateFunction(max, String) COMMENT 'Last utm_campaign that was not empty, behind 8 bytes of its time' CODEC(LZ4),
    `expires` SimpleAggregateFunction(max, Date) COMMENT 'Day on which the row is deleted, by the profile retention of the site'
)
ENGINE = AggregatingMergeTree
ORDER BY (site, visitor, hour)
TTL expires
SETTINGS non_replicated_deduplication_window = 100000, replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800, fsync_after_insert = 1, fsync_part_directory = 1, merge_with_ttl_timeout = 3600, index_granularity = 128, min_compress_block_size = 4096, max_compress_block_size = 8192
COMMENT 'What each visitor did in each hour, as values that merge. Analysts read v_visitors';

CREATE TABLE beckon.visitor_changes
(
    `spool` FixedString(16) COMMENT 'Spool of the batch' CODEC(ZSTD(1)),
    `segment` UInt64 COMMENT 'Segment of that spool: one segment is one batch' CODEC(Delta(8), ZSTD(1)),
    `site` LowCardinality(String) COMMENT 'Site id',
    `visitor` FixedString(16) COMMENT 'Visitor with new activity; zero bytes where a server reported an order without naming a visitor' CODEC(ZSTD(1)),
    `order_key` FixedString(16) COMMENT 'That order, whose visitor the table orders knows; zero bytes where visitor is set' CODEC(ZSTD(1)),
    `expires` Date COMMENT 'Day on which the row is deleted'
)
ENGINE = ReplacingMergeTree
ORDER BY (spool, segment, site, visitor, order_key)
TTL expires
SETTINGS non_replicated_deduplication_window = 100000, replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800, fsync_after_insert = 1, fsync_part_directory = 1, merge_with_ttl_timeout = 3600, index_granularity = 8192
COMMENT 'Which visitors changed in which batch';
