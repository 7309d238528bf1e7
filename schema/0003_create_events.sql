-- Idempotent: yes. Rewrites data: no. Safe while the collector runs: yes.
-- Read by v_events, the feeds below, refresh_traffic and schema.Refill. Sorted by tenant and day,
-- then visitor, so that one visitor's days and one site's reports are both short reads.
-- ttl_only_drop_parts stays off: sites with different retention share parts, and the promise is
-- each site's own. The window counts inserts of all collectors: a day at one insert a second.
CREATE TABLE IF NOT EXISTS {database}.events{cluster}
(
    site             LowCardinality(String) COMMENT 'Site id of sites.yaml',
    environment      LowCardinality(String) COMMENT 'production, staging ... of sites.yaml; views show production',
    event_id         FixedString(16) COMMENT 'UUIDv7 of the event. Once per event in v_events; here a repeat sent after the duplicate window is a second row' CODEC(ZSTD(1)),
    kind             LowCardinality(String) COMMENT 'page_view, product_view, cart_add, purchase ...; consent rows are made by the collector when a choice changes and are no activity',
    source           LowCardinality(String) COMMENT 'Who told us: pixel, beacon (browser), server, import, collector. Money trusts server, then import, then the browser',
    lane             LowCardinality(String) COMMENT 'What the event may be used for: count (totals), measure (traffic reports), decide (personalised offers)',
    cause            LowCardinality(String) COMMENT 'Why it is in that lane: default, country, choice, recorded, denied, gpc, dnt, opt-out',

    received_at      DateTime64(3, 'UTC') COMMENT 'When the collector got it, by its own clock' CODEC(Delta, ZSTD(1)),
    occurred_at      DateTime64(3, 'UTC') COMMENT 'When it happened: the sender clock, corrected and clamped to 24 h before and 5 min after received_at (server events are not clamped)' CODEC(Delta, ZSTD(1)),

    visitor          FixedString(16) COMMENT 'Keyed hash of the visitor under a key of this site and lane; zero bytes = none. Cannot be joined across sites or lanes' CODEC(ZSTD(1)),
    session          FixedString(16) COMMENT 'Keyed hash of the session; zero bytes = none' CODEC(ZSTD(1)),
    visitor_since    DateTime64(3, 'UTC') COMMENT 'Creation of the visitor cookie; 1970 = none' CODEC(ZSTD(1)),
    network          String COMMENT 'Truncated address: 203.0.113.0/24 or 2001:db8::/40; empty = unknown. The full address is never stored' CODEC(ZSTD(1)),
    country          LowCardinality(String) COMMENT 'ISO 3166-1 alpha-2, looked up with the truncated address; empty = unknown',
    region           LowCardinality(String) COMMENT 'ISO 3166-2 subdivision where the site asks for it; empty = unknown',
    device           LowCardinality(String) COMMENT 'desktop, mobile, tablet ...; empty = unknown',
    browser          LowCardinality(String) COMMENT 'Browser family, no version; empty = unknown',
    os               LowCardinality(String) COMMENT 'Operating system family, no version; empty = unknown',
    bot              UInt8 COMMENT '1 = a program. Stored and marked, left out of every visitor, report and decision',
    bot_reason       LowCardinality(String) COMMENT 'Why it is taken for a program; empty for people',

    path             String COMMENT 'Page path without query, personal-looking segments replaced' CODEC(ZSTD(1)),
    referrer         LowCardinality(String) COMMENT 'Host of the referring page; empty = none or the shop itself',
    utm_source       LowCardinality(String) COMMENT 'utm_source of the page address',
    utm_medium       LowCardinality(String) COMMENT 'utm_medium of the page address',
    utm_campaign     String COMMENT 'utm_campaign of the page address' CODEC(ZSTD(1)),

    product          String COMMENT 'Product id as the shop names it' CODEC(ZSTD(1)),
    variant          String COMMENT 'Variant id as the shop names it' CODEC(ZSTD(1)),
    category         String COMMENT 'Product category or collection' CODEC(ZSTD(1)),
    quantity         UInt32 COMMENT 'Units added, removed or viewed; 0 = not said' CODEC(T64, ZSTD(1)),
    currency         LowCardinality(String) COMMENT 'ISO 4217 code of the amounts of this row; empty = none',
    rate             Decimal(18, 8) COMMENT 'Units of the currency of the site for one unit of currency; 0 = unknown, such amounts stay out of sums and are counted' CODEC(ZSTD(1)),
    price            Nullable(Decimal(18, 4)) COMMENT 'Price of one unit, in currency' CODEC(ZSTD(1)),
    cart_value       Nullable(Decimal(18, 4)) COMMENT 'Value of the whole cart after this event, in currency' CODEC(ZSTD(1)),
    value            Nullable(Decimal(18, 4)) COMMENT 'Order total net of discount, tax and shipping; of a refund the amount paid back; in currency' CODEC(ZSTD(1)),
    discount         Nullable(Decimal(18, 4)) COMMENT 'Discount of the order, in currency' CODEC(ZSTD(1)),
    tax              Nullable(Decimal(18, 4)) COMMENT 'Tax of the order, in currency' CODEC(ZSTD(1)),
    shipping         Nullable(Decimal(18, 4)) COMMENT 'Shipping of the order, in currency' CODEC(ZSTD(1)),
    `items.product`  Array(String) COMMENT 'Lines of the order: product ids' CODEC(ZSTD(1)),
    `items.variant`  Array(String) COMMENT 'Lines of the order: variant ids' CODEC(ZSTD(1)),
    `items.quantity` Array(UInt32) COMMENT 'Lines of the order: units' CODEC(ZSTD(1)),
    `items.price`    Array(Decimal(18, 4)) COMMENT 'Lines of the order: price of one unit, in currency' CODEC(ZSTD(1)),

    order_key        FixedString(16) COMMENT 'Keyed hash of the order number; zero bytes = none' CODEC(ZSTD(1)),
    coupon_key       FixedString(16) COMMENT 'Keyed hash of the coupon code; zero bytes = none' CODEC(ZSTD(1)),
    customer_key     FixedString(16) COMMENT 'Keyed hash of the customer id, from servers only; zero bytes = none' CODEC(ZSTD(1)),
    offer            LowCardinality(String) COMMENT 'Offer id of sites.yaml that was shown, accepted, dismissed or redeemed',
    decision         String COMMENT 'decision_id that the event answers, 32 hexadecimal digits' CODEC(ZSTD(1)),
    query_length     UInt16 COMMENT 'Length of the search text, which itself is not stored' CODEC(T64, ZSTD(1)),

    choice           LowCardinality(String) COMMENT 'Of a consent row: the lane that was chosen',
    consent_source   LowCardinality(String) COMMENT 'Of a consent row: the banner or interface the choice came from',
    consent_policy   LowCardinality(String) COMMENT 'Of a consent row: version of the policy text that was shown',
    consent_at       DateTime64(3, 'UTC') COMMENT 'Of a consent row: when the choice was made; 1970 = not a consent row' CODEC(ZSTD(1)),

    spool            FixedString(16) COMMENT 'Spool directory the event waited in' CODEC(ZSTD(1)),
    segment          UInt64 COMMENT 'Segment of that spool: one segment is one insert' CODEC(Delta, ZSTD(1)),
    sequence         UInt64 COMMENT 'Number of the record in that spool' CODEC(Delta, ZSTD(1)),
    expires          Date COMMENT 'Day on which the event is deleted, by the retention of the site',
    profile_expires  Date COMMENT 'Day on which what was derived for the visitor is deleted',

    cart_value_site  Nullable(Decimal(38, 4)) ALIAS if(rate > 0, CAST(round(toDecimal128(cart_value, 4) * toDecimal128(rate, 8), 4), 'Nullable(Decimal(38, 4))'), NULL) COMMENT 'cart_value in the currency of the site; NULL = no amount or no known rate',
    value_site       Nullable(Decimal(38, 4)) ALIAS if(rate > 0, CAST(round(toDecimal128(value, 4) * toDecimal128(rate, 8), 4), 'Nullable(Decimal(38, 4))'), NULL) COMMENT 'value in the currency of the site; NULL = no amount or no known rate',

    INDEX segments segment TYPE minmax GRANULARITY 4
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(received_at)
ORDER BY (site, toDate(occurred_at), visitor, occurred_at, event_id)
TTL expires
SETTINGS non_replicated_deduplication_window = 100000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800,
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    merge_with_ttl_timeout = 3600
COMMENT 'Every event as it was stored. Analysts read v_events, which shows each event once'
