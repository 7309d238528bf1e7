-- Idempotent: yes. Rewrites data: no. Safe while the collector runs: yes.
CREATE OR REPLACE VIEW {database}.v_visitors{cluster}
(
    site            LowCardinality(String) COMMENT 'Site id',
    environment     LowCardinality(String) COMMENT 'production, staging ... of sites.yaml',
    visitor         String COMMENT 'Visitor, 32 hexadecimal digits',
    visitor_since   Nullable(DateTime64(3, 'UTC')) COMMENT 'Creation of the visitor cookie; NULL = unknown',
    first_seen      DateTime64(3, 'UTC') COMMENT 'First event that is still kept',
    last_seen       DateTime64(3, 'UTC') COMMENT 'Last event',
    sessions        UInt64 COMMENT 'Sessions',
    pageviews       UInt64 COMMENT 'Pages viewed',
    product_views   UInt64 COMMENT 'Product pages viewed',
    products        UInt64 COMMENT 'Different products viewed',
    cart_adds       UInt64 COMMENT 'Additions to the cart',
    checkout_starts UInt64 COMMENT 'Checkouts begun',
    orders          UInt64 COMMENT 'Orders placed; their amounts are in v_orders',
    last_cart       Nullable(DateTime64(3, 'UTC')) COMMENT 'Last addition to the cart or checkout; NULL = never',
    cart_value      Decimal(38, 4) COMMENT 'Last known value of the cart in the currency of the site; 0 after a purchase',
    country         String COMMENT 'Last known country; empty = unknown',
    region          String COMMENT 'Last known region; empty = unknown',
    device          String COMMENT 'Last known device class; empty = unknown',
    browser         String COMMENT 'Last known browser family; empty = unknown',
    os              String COMMENT 'Last known operating system family; empty = unknown',
    referrer        String COMMENT 'Last referrer',
    utm_source      String COMMENT 'Last utm_source',
    utm_medium      String COMMENT 'Last utm_medium',
    utm_campaign    String COMMENT 'Last utm_campaign'
)
AS
SELECT *
FROM {database}.v_visitors_all
WHERE environment = 'production'
COMMENT 'Visitors of lane decide within the profile retention, without bots'
