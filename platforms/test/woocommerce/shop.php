<?php
// A small WooCommerce shop around the plugin: php -S 127.0.0.1:PORT shop.php. BECKON_SHOP_PLUGIN is the plugin's folder.

$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
$plugin = getenv('BECKON_SHOP_PLUGIN');
if (str_starts_with($path, '/wp-content/plugins/beckon/assets/')) {
    header('Content-Type: text/javascript');
    readfile("$plugin/assets/" . basename($path));
    return;
}
foreach (json_decode(getenv('BECKON_SHOP_CONSTANTS') ?: '{}', true) as $name => $value) {
    define($name, $value);
}
require __DIR__ . '/wordpress.php';
require __DIR__ . '/woocommerce.php';
State::load();
register_shutdown_function(function () {
    WC()->session->save_data();
    State::save();
});
$wc->session = new WC_Session($_COOKIE['wp_woocommerce_session'] ?? 't_' . bin2hex(random_bytes(8)), isset($_COOKIE['wp_woocommerce_session']));
$wc->cart = new WC_Cart($wc->session);
[$_GET, $_POST] = array_map(fn ($all) => array_map(fn ($v) => is_string($v) ? addslashes($v) : $v, $all), [$_GET, $_POST]); // as WordPress does

[$view, $what] = match (true) {
    (bool) preg_match('#^/product/([\w-]+)$#', $path, $m) => ["product", $m[1]],
    (bool) preg_match('#^/product-category/(\w+)$#', $path, $m) => ['category', $m[1]],
    (bool) preg_match('#^/checkout/order-received/(\d+)$#', $path, $m) => ['received', (int) $m[1]],
    (bool) preg_match('#^/checkout/order-pay/(\d+)$#', $path, $m) => ['pay', (int) $m[1]],
    $path === '/cart', $path === '/checkout' => [substr($path, 1), null],
    default => [isset($_GET['s']) ? 'search' : 'home', null],
};
if ($view === 'product') {
    $what = (int) array_search($what, array_map(fn ($p) => $p["slug"], PRODUCTS), true);
}
function is_product(): bool { return $GLOBALS['view'] === 'product'; }
function is_product_category(): bool { return $GLOBALS['view'] === 'category'; }
function is_search(): bool { return $GLOBALS['view'] === 'search'; }
function is_cart(): bool { return $GLOBALS['view'] === 'cart'; }
function is_checkout(): bool { return in_array($GLOBALS['view'], ['checkout', 'pay', 'received'], true); }
function is_order_received_page(): bool { return $GLOBALS['view'] === 'received'; }
function is_checkout_pay_page(): bool { return $GLOBALS['view'] === 'pay'; }
function get_queried_object_id(): int { return (int) $GLOBALS['what']; }
function get_queried_object(): object { return (object) ['slug' => $GLOBALS['what']]; }
function get_search_query(bool $escaped): string { return $_GET['s']; }
function get_query_var(string $name): string { return (string) $GLOBALS['what']; }

require "$plugin/beckon.php";
if (getenv('BECKON_SHOP_CONSENT')) { // a theme that has its own wishes
    add_filter('beckon_tag_attributes', fn (array $attributes) => $attributes + ['data-consent' => 'tcf', 'data-debug' => true]);
}
if (defined('STUB_USE')) {
    add_filter('beckon_tag_attributes', fn (array $attributes) => $attributes + ['data-use' => STUB_USE]);
}
do_action('before_woocommerce_init');
do_action('init');
do_action('wp_loaded');

if (isset($_GET['stub_meanwhile'])) { // while this request is open, another one of the shopper begins and ends: that puts this into the cart
    $ours = clone $wc;
    $wc->session = new WC_Session($wc->session->get_customer_id(), $wc->session->has_session());
    $wc->cart = new WC_Cart($wc->session);
    $wc->cart->add_to_cart((int) $_GET['stub_meanwhile'], 1);
    $wc->session->save_data();
    [$wc->session, $wc->cart] = [$ours->session, $ours->cart];
}

switch ($_GET['wc-ajax'] ?? null) {
    case null:
        break;
    case 'stub_add':
        $wc->cart->add_to_cart((int) $_POST['product'], (int) $_POST['quantity'], (int) ($_POST['variation'] ?? 0));
        wp_send_json([]);
    case 'stub_remove':
        $wc->cart->remove_cart_item(md5("{$_POST['product']} 0"));
        wp_send_json([]);
    case 'stub_checkout': // somebody with a name and an address orders
        if (isset($_POST['account'])) {
            $wc->session->migrate($_POST['account']);
        }
        $order = WC_Order::of($wc->cart, 4.12, ['winter', ...$wc->cart->coupons], 0.1);
        try {
            do_action('woocommerce_checkout_order_created', $order);
        } catch (Exception $e) { // as the checkout shows it
            wp_send_json(['error' => $e->getMessage()], 409);
        }
        isset($_POST['bank_transfer']) ? $order->on_hold() : $order->payment_complete();
        $wc->cart->empty_cart();
        wp_send_json(['url' => "/checkout/order-received/{$order->get_id()}?key={$order->get_order_key()}"]);
    case 'stub_pay':
        wc_get_order($_POST['order'])->payment_complete();
        wp_send_json([]);
    case 'stub_pay_page': // its shopper pays it there
        do_action('woocommerce_before_pay_action', wc_get_order($_POST['order']));
        wc_get_order($_POST['order'])->payment_complete();
        wp_send_json([]);
    case 'stub_refund':
        $refund = WC_Order_Refund::make((float) $_POST['amount'], json_decode(stripslashes($_POST['lines'] ?? '[]'), true));
        do_action('woocommerce_order_refunded', (int) $_POST['order'], $refund->get_id());
        wp_send_json([]);
    case 'stub_again': // as if nobody remembered that the order was told
        do_action('beckon_send', (int) $_POST['order'], 0, 1);
        wp_send_json([]);
    case 'stub_forget':
        foreach (State::$all['orders'] as $order) {
            $order->delete_meta_data('_beckon_told');
        }
        wp_send_json([]);
    case 'stub_run':
        wp_send_json(run_actions());
    case 'stub_cron':
        do_action('beckon_renew_keys');
        wp_send_json([]);
    case 'stub_settings':
        do_action('admin_init');
        do_action('admin_menu');
        [$capability, $print] = $GLOBALS['page'];
        $print();
        exit;
    case 'stub_save':
        do_action('admin_init');
        do_action('admin_menu');
        wp_send_json([], save_settings('beckon', $GLOBALS['page'][0]));
    case 'stub_state':
        wp_send_json(['actions' => array_values(State::$all['actions']), 'log' => State::$all['log'], 'options' => State::$all['options'], 'cron' => State::$all['cron'] ?? [], 'sessions' => count(State::$all['sessions']), 'cart' => array_column($wc->cart->cart_contents, 'product_id'),
            'coupon' => apply_filters('woocommerce_get_shop_coupon_data', false, 'beckon-offer')]);
    default:
        do_action('wc_ajax_' . $_GET['wc-ajax']);
        http_response_code(400);
        exit('0');
}

do_action('wp_enqueue_scripts');
echo "<!doctype html>\n<html><head><title>Shop</title><link rel=\"icon\" href=\"data:,\">\n";
do_action('wp_head');
echo "</head><body><h1>$view</h1>\n";
?>
<script>
const call = (name, fields) => fetch('/?wc-ajax=' + name, { method: 'POST', body: new URLSearchParams(fields) }).then((r) => r.json());
const add = (product, quantity, variation = 0) => call('stub_add', { product, quantity, variation }).then(() => document.body.dispatchEvent(new Event('wc-blocks_added_to_cart')));
const remove = (product) => call('stub_remove', { product }).then(() => document.body.dispatchEvent(new Event('wc-blocks_removed_from_cart')));
</script>
<?php
do_action('wp_footer');
foreach ($footer as $script) {
    wp_print_script_tag($script);
}
echo "</body></html>\n";
