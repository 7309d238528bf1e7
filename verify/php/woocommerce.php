<?php
/**
 * Plugin Name: Beckon offers
 * Description: Gives the discount of a signed Beckon offer, checked on this server, once.
 *
 * The storefront hands the token over with ?beckon_offer=TOKEN on any page, /?wc-ajax= calls included. The
 * offer becomes a coupon that exists only in this shopper's session: WooCommerce computes, taxes, shows
 * and refunds it like any other. Options: beckon_jwks (the text of /.well-known/jwks.json; renew it hourly,
 * by WP-Cron), beckon_issuer, beckon_site. In applies_to of the sites file name products by their ids: an offer
 * for anything else gives no coupon.
 */

namespace Beckon;

require_once __DIR__ . '/offer.php';

const COUPON = 'beckon-offer';

/**
 * Uses in WordPress's options table, whose names are unique. add_option() looks first and writes then;
 * INSERT IGNORE is one step, as in WordPress's own locks for upgrades.
 */
final class WordPressUses implements Uses
{
    public function claim(string $jti, int $until): bool
    {
        global $wpdb;
        return $wpdb->query($wpdb->prepare(
            "INSERT IGNORE INTO {$wpdb->options} (option_name, option_value, autoload) VALUES (%s, %s, 'no')",
            'beckon_use_' . hash('sha256', $jti),
            (string) $until
        )) === 1;
    }
}

/** The offer in this shopper's session, or null. A token that does not count is forgotten. */
function offer_in_session(): ?array
{
    $token = WC()->session ? (string) WC()->session->get('beckon_offer', '') : '';
    if ($token === '') {
        return null;
    }
    try {
        $verifier = new Verifier((string) get_option('beckon_jwks'), (string) get_option('beckon_issuer'), (string) get_option('beckon_site'));
        $offer = $verifier->verify($token, time());
        if (preg_grep('/^[1-9][0-9]{0,17}$/D', $offer['applies_to'], PREG_GREP_INVERT) !== []) { // WooCommerce drops such an entry, and a coupon for no product is for all
            throw new Refusal('applies_to names what is no product id');
        }
        return $offer;
    } catch (Refusal $refusal) {
        WC()->session->set('beckon_offer', null);
        wc_get_logger()->info('offer refused: ' . $refusal->getMessage(), ['source' => 'beckon']);
    } catch (\JsonException | \SodiumException $fault) {
        wc_get_logger()->error('beckon_jwks is no page of keys', ['source' => 'beckon']);
    }
    return null;
}

// The shopper brings a token: keep it, and use it for the cart.
add_action('wp_loaded', function (): void {
    if (isset($_GET['beckon_offer']) && is_string($_GET['beckon_offer']) && WC()->session && WC()->cart) {
        WC()->session->set('beckon_offer', wp_unslash($_GET['beckon_offer']));
        if (offer_in_session() !== null && !WC()->cart->has_discount(COUPON)) {
            WC()->cart->apply_coupon(COUPON);
        }
    }
}, 20);

// WooCommerce asks what the coupon is, each time it computes. No offer: no such coupon.
add_filter('woocommerce_get_shop_coupon_data', function (mixed $data, mixed $code): mixed {
    $offer = $code === COUPON ? offer_in_session() : null;
    if ($offer === null || ($offer['currency'] !== '' && $offer['currency'] !== get_woocommerce_currency())) {
        return $data;
    }
    return [
        'discount_type' => $offer['kind'] === 'percent' ? 'percent' : 'fixed_cart',
        'amount' => $offer['kind'] === 'percent' ? $offer['percent'] : $offer['amount'],
        'free_shipping' => $offer['kind'] === 'free_shipping',
        'minimum_amount' => $offer['min_cart_value'] > 0 ? $offer['min_cart_value'] : '',
        'individual_use' => !$offer['combinable'],
        'product_ids' => array_map('intval', $offer['applies_to']), // empty: the whole cart
        'date_expires' => $offer['expires_at'] + Verifier::SKEW,
    ];
}, 10, 2);

// The order is about to be made, in the old checkout or the one of blocks: use the offer up, or stop. An
// order whose payment failed comes here again, and has used the offer already.
$redeem = function (\WC_Order $order): void {
    if (!in_array(COUPON, $order->get_coupon_codes(), true)) {
        return;
    }
    $offer = offer_in_session();
    try {
        if ($offer === null) {
            throw new Refusal('expired');
        }
        if ($order->get_meta('_beckon_jti') !== $offer['jti']) {
            Verifier::redeem($offer, new WordPressUses());
        }
    } catch (Refusal $refusal) {
        WC()->session->set('beckon_offer', null);
        WC()->cart->remove_coupon(COUPON);
        throw new \Exception('Your offer does not count any more (' . $refusal->getMessage() . '). The sum has changed; please look at it again.');
    }
    $order->update_meta_data('_beckon_jti', $offer['jti']);
    $order->update_meta_data('_beckon_decision', $offer['decision']);
    $order->save();
};
add_action('woocommerce_checkout_order_created', $redeem);
add_action('woocommerce_store_api_checkout_order_processed', $redeem);
