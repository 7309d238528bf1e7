<?php
// Drives the plugin with stand-ins for what it calls of WordPress and WooCommerce: php woocommerce.php < table.

$hooks = $options = [];
function add_action(string $hook, callable $f, int $order = 10): void { $GLOBALS['hooks'][$hook] = $f; }
function add_filter(string $hook, callable $f, int $order = 10, int $args = 1): void { $GLOBALS['hooks'][$hook] = $f; }
function get_option(string $name): mixed { return $GLOBALS['options'][$name] ?? false; }
function wp_unslash(string $text): string { return stripslashes($text); }
function get_woocommerce_currency(): string { return 'EUR'; }
function wc_get_logger(): object { return $GLOBALS['log']; }
function WC(): object { return $GLOBALS['wc']; }

$log = new class {
    public array $said = [];
    public function info(string $text): void { $this->said[] = $text; }
    public function error(string $text): void { $this->said[] = $text; }
};
$wc = new stdClass();
$wc->session = new class {
    private array $kept = [];
    public function get(string $name, mixed $default = null): mixed { return $this->kept[$name] ?? $default; }
    public function set(string $name, mixed $value): void { $this->kept[$name] = $value; }
};
$wc->cart = new class {
    public array $coupons = [];
    public function has_discount(string $code): bool { return in_array($code, $this->coupons, true); }
    public function apply_coupon(string $code): void { $this->coupons[] = $code; }
    public function remove_coupon(string $code): void { $this->coupons = []; }
};
class WC_Order
{
    public array $meta = [];
    public function get_coupon_codes(): array { return WC()->cart->coupons; }
    public function get_meta(string $name): string { return $this->meta[$name] ?? ''; }
    public function update_meta_data(string $name, string $value): void { $this->meta[$name] = $value; }
    public function save(): void {}
}
$wpdb = new class { // the options table in SQLite, which says OR where MySQL does not
    public string $options = 'wp_options';
    private PDO $db;
    public function __construct() { ($this->db = new PDO('sqlite::memory:'))->exec('CREATE TABLE wp_options (option_name VARCHAR(191) UNIQUE, option_value TEXT, autoload TEXT)'); }
    public function prepare(string $sql, string ...$values): string { return vsprintf(str_replace('%s', "'%s'", $sql), array_map('addslashes', $values)); }
    public function query(string $sql): int { return $this->db->exec(str_replace('INSERT IGNORE', 'INSERT OR IGNORE', $sql)); }
};

$in = json_decode(stream_get_contents(STDIN), true);
$options = ['beckon_jwks' => json_encode($in['jwks']), 'beckon_issuer' => $in['issuer'], 'beckon_site' => $in['site']];
require __DIR__ . '/../php/woocommerce.php';

$bring = function (string $token) use (&$hooks): void {
    $_GET['beckon_offer'] = addslashes($token);
    $hooks['wp_loaded']();
    $_GET = [];
};
$pay = function (WC_Order $order, string $hook = 'woocommerce_checkout_order_created') use (&$hooks): string {
    try {
        $hooks[$hook]($order);
        return 'ok';
    } catch (Exception $e) {
        return $e->getMessage();
    }
};
$coupon = fn (string $code = 'beckon-offer'): mixed => $hooks['woocommerce_get_shop_coupon_data'](false, $code);

$said = [];
[$first, $second] = [new WC_Order(), new WC_Order()];
$said['no offer'] = [$coupon(), $pay($first)];
foreach ($in['lines'] as $line) {
    $bring($line['token']);
    $said[$line['name']] = [$coupon(), $wc->cart->coupons, end($log->said)];
}
$said['another coupon'] = $coupon('WINTER');
$said['first order'] = $pay($first);
$said['decision'] = $first->meta['_beckon_decision'] ?? '';
$said['first order, after its payment failed'] = $pay($first);
$said['second order, from blocks'] = $pay($second, 'woocommerce_store_api_checkout_order_processed');
$said['then'] = [$coupon(), $wc->cart->coupons];
echo json_encode($said);
