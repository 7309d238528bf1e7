<?php
/**
 * Rows of one shopper's own, beside WooCommerce's session. The session is saved whole, cart included, by each
 * request that has changed anything of it, and the last one wins: a request of ours that wrote to it could undo
 * what the shopper does meanwhile. So those requests write here. The session only has the rows' key, which comes
 * into it where WooCommerce writes to it anyhow, and goes with it when a guest becomes a customer.
 *
 * @package Beckon
 */

namespace Beckon\Woo;

defined( 'ABSPATH' ) || exit;

const KEY  = 'beckon_key'; // in the session
const KEPT = 2 * DAY_IN_SECONDS;

/** Only for requests that change the cart, or show the checkout. */
function make_own_rows(): void {
	if ( WC()->session && '' === own_row( '' ) ) {
		WC()->session->set( KEY, bin2hex( random_bytes( 16 ) ) );
	}
}

/** The name of the shopper's row for that, or an empty one of who has none. */
function own_row( string $what ): string {
	$key = WC()->session ? (string) WC()->session->get( KEY, '' ) : '';
	return '' === $key ? '' : "beckon_{$what}_$key";
}

function recall( string $what ): string {
	$row = own_row( $what );
	return '' === $row ? '' : (string) get_transient( $row );
}

function remember( string $what, string $value ): void {
	$row = own_row( $what );
	if ( '' === $row ) {
		return;
	}
	if ( '' === $value ) {
		delete_transient( $row );
	} else {
		set_transient( $row, $value, KEPT );
	}
}
