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
const MAX_WAITING = 20;
const CART_NONCE  = 'woocommerce-beckon-events'; // WooCommerce makes a nonce one guest's own only if it begins so

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

/** The hook's request writes the cart into the session anyhow: only here is what was told taken out of it. */
function wait( string $kind, mixed $product, mixed $quantity ): void {
	if ( ! $product || ! WC()->session || ! is_configured() ) {
		return;
	}
	make_own_rows();
	$all      = (array) WC()->session->get( WAITING, array() );
	$number   = max( now(), $all ? end( $all )[0] + 1 : 0 );
	$events   = waiting();
	$events[] = array( $number, $kind, product_props( $product ) + array( 'quantity' => (float) $quantity ) );
	WC()->session->set( WAITING, array_slice( $events, -MAX_WAITING ) );
}

/** In milliseconds. Events are numbered by it, so that numbers only grow, from one session to the next too. */
function now(): int {
	return (int) ( microtime( true ) * 1000 );
}

/** What was not told. After a day it is no news: the tag would say that it happens now. */
function waiting(): array {
	$told   = max( (int) recall( 'told' ), now() - DAY_IN_SECONDS * 1000 );
	$events = WC()->session ? (array) WC()->session->get( WAITING, array() ) : array();
	return array_values( array_filter( $events, fn ( array $event ): bool => $event[0] > $told ) );
}

// shop.js fetches what waits, and says up to which number it has told it; only then is it not handed out again, so
// that nothing is lost with a page that goes away. The last of it says what the cart is worth now. Other sites can
// make a browser ask, but not read the nonce of the answer, without which nothing is taken for told.
add_action(
	'wc_ajax_beckon_events',
	function (): void {
		nocache_headers();
		$done   = isset( $_POST['done'] ) ? absint( $_POST['done'] ) : 0; // phpcs:ignore WordPress.Security.NonceVerification -- two lines below
		$events = waiting();
		if ( $done && $events ) {
			check_ajax_referer( CART_NONCE, 'nonce' );
			$told = array_filter( $events, fn ( array $event ): bool => $event[0] <= $done );
			if ( $told ) {
				remember( 'told', (string) end( $told )[0] );
			}
			$events = array_slice( $events, count( $told ) );
		}
		if ( ! $events ) {
			wp_send_json( array( 'events' => array() ) );
		}
		$events[ array_key_last( $events ) ][2] += cart_props();
		wp_send_json(
			array(
				'events' => $events,
				'nonce'  => wp_create_nonce( CART_NONCE ),
			)
		);
	}
);
