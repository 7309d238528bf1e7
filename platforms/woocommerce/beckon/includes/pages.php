<?php
/**
 * What a page is: printed as data for shop.js, so that no script is made of shop data. On pages that everybody
 * shares it is the same for everybody: prices are those without tax, which depend on no address.
 *
 * @package Beckon
 */

namespace Beckon\Woo;

defined( 'ABSPATH' ) || exit;

add_action(
	'wp_enqueue_scripts',
	function (): void {
		if ( is_configured() ) {
			wp_enqueue_script(
				'beckon-shop',
				plugins_url( 'assets/shop.js', FILE ),
				array(),
				VERSION,
				array(
					'strategy'  => 'defer',
					'in_footer' => true,
				)
			);
		}
	}
);

add_action( 'wp_footer', __NAMESPACE__ . '\print_page', 5 );

function print_page(): void {
	if ( ! is_configured() ) {
		return;
	}
	$page = array(
		'events' => page_events(),
		'ajax'   => \WC_AJAX::get_endpoint( '%%endpoint%%' ),
		// Pages of one shopper, never cached: only here may something wait, and only here is a session to join.
		'own'    => is_cart() || is_checkout(),
	);
	if ( joins_orders() ) {
		make_own_rows();
		$page['link'] = array(
			'endpoint' => endpoint(),
			'site'     => setting( 'beckon_site' ),
			'nonce'    => wp_create_nonce( LINK_NONCE ),
		);
	}
	wp_print_inline_script_tag(
		(string) wp_json_encode( $page, JSON_HEX_TAG | JSON_HEX_AMP | JSON_UNESCAPED_SLASHES ),
		array(
			'type' => 'application/json',
			'id'   => 'beckon-page',
		)
	);
}

/** Whether an order can be made on this page that this server will tell, in the visitor's name if there is one. */
function joins_orders(): bool {
	return tells_orders() && is_checkout() && ! is_order_received_page();
}

/** What this page is a view of, as calls of beckon(). */
function page_events(): array {
	if ( is_product() ) {
		$product = wc_get_product( get_queried_object_id() );
		return $product ? array( array( 'product_view', product_props( $product ) ) ) : array();
	}
	if ( is_product_category() ) {
		return array( array( 'collection_view', array( 'category' => get_queried_object()->slug ) ) );
	}
	if ( is_search() ) { // how long the words are; the words stay here
		return array( array( 'search', array( 'query_length' => mb_strlen( get_search_query( false ) ) ) ) );
	}
	if ( is_cart() ) {
		return array( array( 'cart_view', cart_props() ) );
	}
	if ( is_order_received_page() ) {
		return received_events();
	}
	if ( is_checkout() && ! is_checkout_pay_page() ) {
		return array( array( 'checkout_start', cart_props() ) );
	}
	return array();
}

function product_props( \WC_Product $product ): array {
	$parent   = $product->get_parent_id();
	$category = get_the_terms( $parent ? $parent : $product->get_id(), 'product_cat' );
	return array_filter(
		array(
			'product'  => (string) ( $parent ? $parent : $product->get_id() ),
			'variant'  => $parent ? (string) $product->get_id() : null,
			'category' => is_array( $category ) && $category ? $category[0]->slug : null,
			'price'    => money( wc_get_price_excluding_tax( $product ) ),
			'currency' => get_woocommerce_currency(),
		),
		fn ( mixed $value ): bool => null !== $value
	);
}

/** The cart's goods less discounts, without tax. */
function cart_props(): array {
	$cart = WC()->cart;
	return $cart ? array(
		'cart_value' => money( $cart->get_cart_contents_total() ),
		'currency'   => get_woocommerce_currency(),
	) : array();
}

/** Money goes as text, so that no binary fraction comes between. */
function money( mixed $amount ): string {
	return number_format( (float) $amount, 4, '.', '' );
}
