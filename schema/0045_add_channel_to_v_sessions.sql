-- Idempotent: yes. Rewrites data: no. Safe while the collector runs: yes.
-- As before, and channel.
CREATE OR REPLACE VIEW {database}.v_sessions{cluster}
(
    site            LowCardinality(String) COMMENT 'Site id',
    environment     LowCardinality(String) COMMENT 'production, staging ... of sites.yaml',
    session         String COMMENT 'Session, 32 hexadecimal digits',
    visitor         String COMMENT 'Visitor, 32 hexadecimal digits',
    started_at      DateTime64(3, 'UTC') COMMENT 'First event',
    ended_at        DateTime64(3, 'UTC') COMMENT 'Last event',
    seconds         UInt32 COMMENT 'From the first to the last event; 0 = a single event',
    events          UInt64 COMMENT 'Events, each id once',
    pageviews       UInt64 COMMENT 'Pages viewed',
    product_views   UInt64 COMMENT 'Product pages viewed',
    cart_adds       UInt64 COMMENT 'Additions to the cart',
    checkout_starts UInt64 COMMENT 'Checkouts begun',
    orders          UInt64 COMMENT 'Orders placed',
    entry_path      String COMMENT 'Path of the first page',
    exit_path       String COMMENT 'Path of the last page',
    referrer        String COMMENT 'Host that the visitor came from; empty = none',
    utm_source      String COMMENT 'First utm_source',
    utm_medium      String COMMENT 'First utm_medium',
    utm_campaign    String COMMENT 'First utm_campaign',
    channel         String COMMENT 'Where the session came from, by its first utm_medium, utm_source and referrer: paid, email, affiliate, social, search, campaign (other utm), referral, direct',
    country         String COMMENT 'ISO 3166-1 alpha-2; empty = unknown',
    device          String COMMENT 'desktop, mobile, tablet ...; empty = unknown',
    browser         String COMMENT 'Browser family; empty = unknown',
    os              String COMMENT 'Operating system family; empty = unknown'
)
AS
SELECT *
FROM {database}.v_sessions_all
WHERE environment = 'production'
COMMENT 'Sessions of visitors in lane decide, without bots'
