<?php
/**
 * What a shopper does with the cart. The hooks see it on the server, the tag is in the browser: between them
 * it waits in WooCommerce's session, which a shopper with a cart has anyhow, and shop.js fetches it.
 *
 * @package Beckon
 */

namespace Beckon\Woo;

defined( 'ABSPATH' ) || exit;

const WAITING     = 'beckon_events'; // in the session
const TOLD        = 'beckon_told';   // in the session: number of the last that was told
const MAX_WAITING = 20;

add_action(
	'woocommerce_add_to_cart',
	function ( string $key, int $product_id, mixed $quantity, mixed $variation_id ): void {
		wait( 'cart_add', wc_get_product( $variation_id ? $variation_id : $product_id ), $quantity );
	},
	10,
	4
);

add_action(
	'woocommerce_remove_cart_item',
	function ( string $key, \WC_Cart $cart ): void {
		$item = $cart->cart_contents[ $key ] ?? null;
		if ( $item ) {
			wait( 'cart_remove', $item['data'], $item['quantity'] );
		}
	},
	10,
	2
);

function wait( string $kind, mixed $product, mixed $quantity ): void {
	if ( ! $product || ! WC()->session || ! is_configured() ) {
		return;
	}
	$events   = (array) WC()->session->get( WAITING, array() );
	$last     = $events ? end( $events )[0] : (int) WC()->session->get( TOLD, 0 );
	$events[] = array( $last + 1, $kind, product_props( $product ) + array( 'quantity' => (float) $quantity ) );
	WC()->session->set( WAITING, array_slice( $events, -MAX_WAITING ) );
}

// shop.js fetches what waits, and says up to which number it has told it; only then is it forgotten here, so that
// nothing is lost with a page that goes away. The last of it says what the cart is worth now.
add_action(
	'wc_ajax_beckon_events',
	function (): void {
		nocache_headers();
		$done   = isset( $_POST['done'] ) ? absint( $_POST['done'] ) : 0; // phpcs:ignore WordPress.Security.NonceVerification -- there is nothing to forge: it is the shopper's own
		$events = WC()->session ? (array) WC()->session->get( WAITING, array() ) : array();
		if ( $done && $events ) {
			$events = array_values( array_filter( $events, fn ( array $event ): bool => $event[0] > $done ) );
			WC()->session->set( WAITING, $events ? $events : null );
			WC()->session->set( TOLD, $done );
		}
		$last = $events ? end( $events )[0] : $done;
		if ( $events ) {
			$events[ array_key_last( $events ) ][2] += cart_props();
		}
		wp_send_json(
			array(
				'last'   => $last,
				'events' => array_map( fn ( array $event ): array => array_slice( $event, 1 ), $events ),
			)
		);
	}
);
