<?php
/**
 * Takes the plugin's options away. What orders remember of it (META_* of includes/orders.php) says only when they
 * were told.
 *
 * @package Beckon
 */

defined( 'WP_UNINSTALL_PLUGIN' ) || exit;

foreach ( array( 'beckon_endpoint', 'beckon_site', 'beckon_server_key', 'beckon_issuer', 'beckon_jwks' ) as $option ) {
	delete_option( $option );
}
