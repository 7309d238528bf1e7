<?php
/**
 * Signed offers at the checkout: verify/php of Beckon, which this plugin brings along in offers/ when it was
 * packed (pack.sh). All that is left to do here is to keep its page of keys fresh.
 *
 * @package Beckon
 */

namespace Beckon\Woo;

defined( 'ABSPATH' ) || exit;

const RENEW = 'beckon_renew_keys';

if ( is_readable( __DIR__ . '/../offers/woocommerce.php' ) && '' !== setting( 'beckon_issuer' ) ) {
	require_once __DIR__ . '/../offers/woocommerce.php';
	add_action(
		'init',
		function (): void {
			if ( ! wp_next_scheduled( RENEW ) ) {
				wp_schedule_event( time(), 'hourly', RENEW );
			}
		}
	);
}

add_action( RENEW, __NAMESPACE__ . '\renew_keys' );

/** A page that is none leaves the old one: its offers go on. */
function renew_keys(): void {
	$reply = wp_remote_get( server_endpoint() . '/.well-known/jwks.json', array( 'timeout' => 10, 'redirection' => 0 ) );
	$page  = is_wp_error( $reply ) || 200 !== (int) wp_remote_retrieve_response_code( $reply ) ? '' : (string) wp_remote_retrieve_body( $reply );
	if ( ! is_array( json_decode( $page, true )['keys'] ?? null ) ) {
		log_error( 'the page of keys could not be fetched' );
		return;
	}
	update_option( 'beckon_jwks', $page, false );
}

register_deactivation_hook(
	FILE,
	function (): void {
		wp_clear_scheduled_hook( RENEW );
	}
);
