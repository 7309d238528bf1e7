<?php
/**
 * The tag in the head of each page, and what the visitor has answered in a banner that speaks the WP Consent API.
 *
 * @package Beckon
 */

namespace Beckon\Woo;

defined( 'ABSPATH' ) || exit;

const STUB = 'window.beckon=window.beckon||function(){(beckon.q=beckon.q||[]).push(arguments)}';

add_action( 'wp_head', __NAMESPACE__ . '\print_tag', 1 );

/** Stub, answer and tag, in this order: the answer is there before the tag sends anything. */
function print_tag(): void {
	if ( ! is_configured() || is_customize_preview() ) {
		return;
	}
	wp_print_inline_script_tag( STUB );
	if ( function_exists( 'wp_has_consent' ) ) {
		wp_print_inline_script_tag( (string) file_get_contents( __DIR__ . '/../assets/consent.js' ) ); // phpcs:ignore WordPress.WP.AlternativeFunctions
	}
	$attributes = array(
		'async'         => true,
		'src'           => esc_url( endpoint() . '/b.js' ),
		'data-site'     => setting( 'beckon_site' ),
		'data-endpoint' => esc_url( endpoint() ),
	);
	/** More of the tag's attributes, such as 'data-consent' => 'tcf' or 'data-debug' => true. */
	$attributes = (array) apply_filters( 'beckon_tag_attributes', $attributes );
	if ( joins_orders() ) { // shop.js waits for beckon:ack there, which is announced to who asks only.
		$parts                  = preg_split( '/\s+/', (string) ( $attributes['data-use'] ?? '' ), -1, PREG_SPLIT_NO_EMPTY );
		$attributes['data-use'] = implode( ' ', array_unique( array( ...$parts, 'ack' ) ) );
	}
	wp_print_script_tag( $attributes );
}

// The WP Consent API lists the plugins that ask it.
add_filter( 'wp_consent_api_registered_' . plugin_basename( FILE ), '__return_true' );
