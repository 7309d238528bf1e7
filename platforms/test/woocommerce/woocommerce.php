<?php
// What the plugin calls of WooCommerce: objects for orders, a cart and a session, Action Scheduler.

const PRODUCTS = [
    11 => ['slug' => 'lantern', 'price' => 42.0168, 'category' => 'lamps', 'parent' => 0], // 50.00 with 19 % tax
    12 => ['slug' => 'mug', 'price' => 16.3866, 'category' => 'mugs', 'parent' => 0],
    21 => ['slug' => 'lantern-red', 'price' => 42.0168, 'category' => '', 'parent' => 11],
];

final class WC_AJAX { public static function get_endpoint(string $request): string { return "/?wc-ajax=$request"; } }

final class WC_Product
{
    public function __construct(private int $id) {}
    public function get_id(): int { return $this->id; }
    public function get_parent_id(): int { return PRODUCTS[$this->id]['parent']; }
    public function price(): float { return PRODUCTS[$this->id]['price']; }
}
function wc_get_product(mixed $id): WC_Product|false { return isset(PRODUCTS[(int) $id]) ? new WC_Product((int) $id) : false; }
function wc_get_price_excluding_tax(WC_Product $product): float { return $product->price(); }
function get_the_terms(int $id, string $taxonomy): array|false { return PRODUCTS[$id]['category'] === '' ? false : [(object) ['slug' => PRODUCTS[$id]['category']]]; }
function get_woocommerce_currency(): string { return 'EUR'; }
function wc_get_logger(): object { return new class { public function error(string $text, array $context): void { State::$all['log'][] = $text; } public function info(string $text, array $context): void { State::$all['log'][] = $text; } }; }

/**
 * Read whole when the request begins and, if anything was set, saved whole when it ends: the last one wins. A guest's is
 * kept only with a cookie, which a cart brings: pages of who has none stay cacheable.
 */
final class WC_Session
{
    private array $data;
    private bool $dirty = false;
    public function __construct(private string $id, private bool $has_cookie) { $this->data = State::$all['sessions'][$id] ?? []; }
    public function get_customer_id(): string { return $this->id; }
    public function has_session(): bool { return $this->has_cookie; }
    public function get(string $name, mixed $default = null): mixed { return $this->data[$name] ?? $default; }
    public function set(string $name, mixed $value): void
    {
        if ($this->get($name) !== $value) {
            $this->data[$name] = $value;
            $this->dirty = true;
        }
    }
    public function save_data(): void
    {
        if ($this->dirty && $this->has_cookie) {
            State::$all['sessions'][$this->id] = $this->data;
        }
    }
    public function set_customer_session_cookie(): void
    {
        if (!$this->has_cookie) {
            setcookie('wp_woocommerce_session', $this->id, ['path' => '/', 'httponly' => true]);
            $this->has_cookie = true;
        }
    }
    /** A guest becomes a customer, and the session goes along. */
    public function migrate(string $id): void
    {
        unset(State::$all['sessions'][$this->id]);
        [$this->id, $this->dirty, $this->has_cookie] = [$id, true, false];
        $this->set_customer_session_cookie();
    }
}
add_filter('nonce_user_logged_out', fn (mixed $uid, mixed $action): mixed => str_starts_with((string) $action, 'woocommerce') && WC()->session->has_session() ? WC()->session->get_customer_id() : $uid, 10, 2);

final class WC_Cart
{
    public array $cart_contents = [];
    public array $coupons = [];
    public function __construct(private WC_Session $session)
    {
        $this->coupons = $session->get('coupons', []);
        $this->cart_contents = array_map(fn ($line) => $line + ['data' => wc_get_product($line['variation_id'] ?: $line['product_id'])], $session->get('cart', []));
    }
    public function add_to_cart(int $product_id, int $quantity, int $variation_id = 0): void
    {
        $key = md5("$product_id $variation_id");
        $this->cart_contents[$key] = ['product_id' => $product_id, 'variation_id' => $variation_id, 'quantity' => $quantity, 'data' => wc_get_product($variation_id ?: $product_id)];
        $this->keep();
        do_action('woocommerce_add_to_cart', $key, $product_id, $quantity, $variation_id, [], []);
    }
    public function remove_cart_item(string $key): void
    {
        do_action('woocommerce_remove_cart_item', $key, $this);
        unset($this->cart_contents[$key]);
        $this->keep();
    }
    public function get_cart_contents_total(): float { return array_sum(array_map(fn ($l) => $l['data']->price() * $l['quantity'], $this->cart_contents)); }
    public function has_discount(string $code): bool { return in_array($code, $this->coupons, true); }
    public function apply_coupon(string $code): void
    {
        if (apply_filters('woocommerce_get_shop_coupon_data', false, $code) !== false) { // there is such a coupon
            $this->coupons[] = $code;
            $this->keep();
        }
    }
    public function remove_coupon(string $code): void { $this->coupons = []; $this->keep(); }
    public function empty_cart(): void { $this->cart_contents = $this->coupons = []; $this->keep(); }
    private function keep(): void
    {
        $this->session->set('coupons', $this->coupons);
        $this->session->set('cart', array_map(fn ($l) => array_diff_key($l, ['data' => 0]), $this->cart_contents));
        $this->session->set_customer_session_cookie();
        setcookie('woocommerce_items_in_cart', $this->cart_contents ? '1' : '', ['path' => '/'] + ($this->cart_contents ? [] : ['expires' => 1]));
    }
}

final class WC_Item
{
    public function __construct(private int $product, private int $variation, private float $quantity, private float $total) {}
    public function get_product_id(): int { return $this->product; }
    public function get_variation_id(): int { return $this->variation; }
    public function get_quantity(): float { return $this->quantity; }
    public function get_total(): string { return (string) $this->total; }
}

class WC_Order
{
    protected array $meta = [];
    protected array $items = [];
    public array $coupons = [];
    public ?DateTime $paid = null;
    public string $status = 'pending';
    protected DateTime $created;
    public function __construct(protected int $id, protected float $discount = 0, protected float $shipping = 0, protected float $tax = 0) { $this->created = new DateTime(); }
    public static function of(WC_Cart $cart, float $shipping, array $coupons, float $off): self
    {
        $o = new self(State::$all['next']++, shipping: $shipping);
        $o->coupons = $coupons;
        foreach ($cart->cart_contents as $l) {
            $o->items[] = new WC_Item($l['product_id'], $l['variation_id'], $l['quantity'], round($l['data']->price() * $l['quantity'] * (1 - $off), 4));
        }
        $o->discount = round($cart->get_cart_contents_total() * $off, 4);
        $o->tax = round(($cart->get_cart_contents_total() - $o->discount + $shipping) * 0.19, 2);
        $o->save();
        return $o;
    }
    public function get_id(): int { return $this->id; }
    public function get_order_key(): string { return "wc_order_key$this->id"; }
    public function get_items(): array { return $this->items; }
    public function get_subtotal(): float { return array_sum(array_map(fn ($i) => (float) $i->get_total(), $this->items)) + $this->discount; }
    public function get_discount_total(): string { return (string) $this->discount; }
    public function get_total_tax(): string { return (string) $this->tax; }
    public function get_shipping_total(): string { return (string) $this->shipping; }
    public function get_total(): string { return (string) ($this->get_subtotal() - $this->discount + $this->tax + $this->shipping); }
    public function get_currency(): string { return 'EUR'; }
    public function get_coupon_codes(): array { return $this->coupons; }
    public function get_date_created(): DateTime { return $this->created; }
    public function get_date_paid(): ?DateTime { return $this->paid; }
    public function is_paid(): bool { return in_array($this->status, ['processing', 'completed'], true); }
    public function get_meta(string $name): string { return $this->meta[$name] ?? ''; }
    public function update_meta_data(string $name, string $value): void { $this->meta[$name] = $value; }
    public function delete_meta_data(string $name): void { unset($this->meta[$name]); }
    public function save(): int { State::$all['orders'][$this->id] = $this; return $this->id; }
    public function payment_complete(): void
    {
        $this->paid = new DateTime();
        $this->status = 'processing';
        $this->save();
        do_action('woocommerce_order_status_processing', $this->id, $this);
        do_action('woocommerce_payment_complete', $this->id, '');
    }
    public function on_hold(): void
    {
        $this->status = 'on-hold';
        $this->save();
        do_action('woocommerce_order_status_on-hold', $this->id, $this);
    }
    // Who is asked for this has gone too far: nothing of it may be told.
    public function __call(string $name, array $args): never { throw new Error("the plugin asks an order for $name"); }
}
final class WC_Order_Refund extends WC_Order
{
    public float $amount = 0;
    public static function make(float $amount, array $lines): self
    {
        $r = new self(State::$all['next']++);
        $r->amount = $amount;
        $r->items = array_map(fn ($l) => new WC_Item($l[0], 0, -$l[1], -$l[2]), $lines);
        $r->save();
        return $r;
    }
    public function get_amount(): string { return (string) $this->amount; }
}
function wc_get_order(mixed $id): WC_Order|false { return State::$all['orders'][(int) $id] ?? false; }

// Action Scheduler: kept, and run when the test says so. "Unique" knows hook and group alone, and one that runs counts.
function as_enqueue_async_action(string $hook, array $args = [], string $group = '', bool $unique = false): int { return as_schedule_single_action(time(), $hook, $args, $group, $unique); }
function as_schedule_single_action(int $at, string $hook, array $args = [], string $group = '', bool $unique = false): int
{
    if (isset($_GET['stub_no_scheduler']) || ($unique && as_has_scheduled_action($hook, null, $group))) {
        return 0;
    }
    State::$all['actions'][$id = State::$all['next']++] = ['at' => $at, 'hook' => $hook, 'args' => $args, 'group' => $group];
    return $id;
}
function as_has_scheduled_action(string $hook, ?array $args = null, string $group = ''): bool
{
    foreach (State::$all['actions'] as $a) {
        if ($a['hook'] === $hook && $a['group'] === $group && ($args === null || $a['args'] === $args)) {
            return true;
        }
    }
    return false;
}
function run_actions(): array
{
    $due = State::$all['actions'];
    foreach ($due as $id => $a) {
        do_action($a['hook'], ...$a['args']);
        unset(State::$all['actions'][$id]);
    }
    return $due;
}

$wpdb = new class { // the options table, whose names are unique
    public string $options = 'wp_options';
    public function prepare(string $sql, string ...$values): array { return $values; }
    public function query(array $values): int
    {
        [$name, $value] = $values;
        if (isset(State::$all['options'][$name])) {
            return 0;
        }
        State::$all['options'][$name] = $value;
        return 1;
    }
};

$wc = new stdClass();
function WC(): stdClass { return $GLOBALS['wc']; }
