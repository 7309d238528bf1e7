<?php
/**
 * Where Beckon is: options that a page under Settings edits, or constants of wp-config.php, which win.
 *
 * @package Beckon
 */

namespace Beckon\Woo;

defined( 'ABSPATH' ) || exit;

/** Option => what the settings page says of it. */
const SETTINGS = array(
	'beckon_endpoint'   => 'Endpoint: where Beckon answers, such as /px',
	'beckon_site'       => "Site: the shop's id in Beckon's sites file",
	'beckon_server_key' => 'Server key: for orders and refunds from this server; empty = orders from browsers only',
	'beckon_issuer'     => "Issuer: of signed offers, as the aggregator's --issuer says; empty = no offers",
);

const REMOVE_KEY = 'beckon_remove_key'; // a box of the settings page

/** The option, or the constant of its name in capitals. The constant also stands for other readers of the option. */
function setting( string $name ): string {
	return trim( (string) get_option( $name, '' ) );
}

foreach ( array_keys( SETTINGS ) as $name ) {
	if ( defined( strtoupper( $name ) ) ) {
		add_filter(
			"pre_option_$name",
			function () use ( $name ): string {
				return (string) constant( strtoupper( $name ) );
			}
		);
	}
}

/** Beckon's address for browsers, without a slash at the end. */
function endpoint(): string {
	return untrailingslashit( setting( 'beckon_endpoint' ) );
}

/** Beckon's address for this server: BECKON_SERVER_ENDPOINT, where it has another one inside. */
function server_endpoint(): string {
	if ( defined( 'BECKON_SERVER_ENDPOINT' ) ) {
		return untrailingslashit( (string) BECKON_SERVER_ENDPOINT );
	}
	return str_starts_with( endpoint(), '/' ) ? untrailingslashit( home_url( endpoint() ) ) : endpoint();
}

function is_configured(): bool {
	return '' !== endpoint() && '' !== setting( 'beckon_site' );
}

function log_error( string $text ): void {
	wc_get_logger()->error( $text, array( 'source' => 'beckon' ) );
}

add_action(
	'admin_init',
	function (): void {
		add_settings_section( 'beckon', '', '__return_null', 'beckon' );
		foreach ( SETTINGS as $name => $label ) {
			register_setting( 'beckon', $name, array( 'sanitize_callback' => 'sanitize_text_field' ) );
			add_settings_field( $name, esc_html( $label ), __NAMESPACE__ . '\print_field', 'beckon', 'beckon', array( 'name' => $name ) );
		}
	}
);

add_action(
	'admin_menu',
	function (): void {
		add_options_page( 'Beckon', 'Beckon', 'manage_woocommerce', 'beckon', __NAMESPACE__ . '\print_settings' );
	}
);

// Who sees the page may save it: options.php asks for manage_options otherwise.
add_filter( 'option_page_capability_beckon', fn (): string => 'manage_woocommerce' );

/** One line of the settings page. A key is never printed again once it is kept. */
function print_field( array $field ): void {
	$name    = $field['name'];
	$secret  = 'beckon_server_key' === $name;
	$defined = defined( strtoupper( $name ) );
	printf(
		'<input class="regular-text" name="%s" type="%s" value="%s" placeholder="%s"%s autocomplete="off">',
		esc_attr( $name ),
		$secret ? 'password' : 'text',
		$secret ? '' : esc_attr( setting( $name ) ),
		$secret && '' !== setting( $name ) ? esc_attr( 'is kept' ) : '',
		$defined ? ' disabled' : ''
	);
	if ( $secret && ! $defined && '' !== setting( $name ) ) {
		printf( ' <label><input type="checkbox" name="%s" value="1"> remove it</label>', esc_attr( REMOVE_KEY ) );
	}
}

function print_settings(): void {
	echo '<div class="wrap"><h1>Beckon</h1><form action="options.php" method="post">';
	settings_fields( 'beckon' );
	do_settings_sections( 'beckon' );
	submit_button();
	echo '</form></div>';
}

// An empty field keeps the key that is there, unless the box says otherwise.
add_filter(
	'pre_update_option_beckon_server_key',
	function ( mixed $value, mixed $old ): mixed {
		return '' === $value && ! isset( $_POST[ REMOVE_KEY ] ) ? $old : $value; // phpcs:ignore WordPress.Security.NonceVerification -- options.php has looked
	},
	10,
	2
);
