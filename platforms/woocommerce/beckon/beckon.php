<?php
/**
 * Plugin Name: Beckon for WooCommerce
 * Description: Puts Beckon's tag into the shop and tells it what happens, orders from the server too.
 * Version: 0.1.0
 * Requires at least: 6.3
 * Requires PHP: 8.0
 * Requires Plugins: woocommerce
 * WC requires at least: 8.2
 * License: Apache-2.0
 *
 * Pages that everybody shares stay the same for everybody, so that they can be cached whole; what one shopper
 * does waits in WooCommerce's own session until the shopper's browser fetches it. Nothing is sent that names a
 * person: orders go by their numbers, of which Beckon keeps keyed hashes. Each file of includes/ is one idea.
 *
 * @package Beckon
 */

namespace Beckon\Woo;

defined( 'ABSPATH' ) || exit;

const VERSION = '0.1.0';
const FILE    = __FILE__;

require_once __DIR__ . '/includes/settings.php';
require_once __DIR__ . '/includes/tag.php';
require_once __DIR__ . '/includes/pages.php';
require_once __DIR__ . '/includes/own.php';
require_once __DIR__ . '/includes/cart.php';
require_once __DIR__ . '/includes/orders.php';
require_once __DIR__ . '/includes/offers.php';

// Orders are read and written through their objects alone, in whichever tables they are.
add_action(
	'before_woocommerce_init',
	function (): void {
		if ( class_exists( \Automattic\WooCommerce\Utilities\FeaturesUtil::class ) ) {
			\Automattic\WooCommerce\Utilities\FeaturesUtil::declare_compatibility( 'custom_order_tables', FILE, true );
			\Automattic\WooCommerce\Utilities\FeaturesUtil::declare_compatibility( 'cart_checkout_blocks', FILE, true );
		}
	}
);
