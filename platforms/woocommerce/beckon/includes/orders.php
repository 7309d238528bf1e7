<?php
/**
 * Orders and refunds, told by this server, whose word counts for money. They are joined to the visitor by a link
 * token that shop.js fetched at the checkout, where the visitor allows personalised offers. An order without one
 * says that its shopper chose nothing of the kind, and is counted in the totals alone.
 *
 * Action Scheduler sends them, so no checkout waits for Beckon. An event's id is made of the order: whatever is
 * sent twice is counted once.
 *
 * @package Beckon
 */

namespace Beckon\Woo;

defined( 'ABSPATH' ) || exit;

const LINK_NONCE = 'woocommerce-beckon-link'; // WooCommerce makes a nonce one guest's own only if it begins so
const META_LINK  = '_beckon_link'; // of the order, until it is told
const META_TOLD  = '_beckon_told'; // of the order, when it was
const META_SEEN  = '_beckon_seen'; // of the order, when its shopper's browser told it
const SEND       = 'beckon_send';
const TRIES      = 8; // after 1, 4, 16 minutes ... a day: two days in all

/** Whether this server may tell orders: without a key no token is asked for, or kept. */
function tells_orders(): bool {
	return is_configured() && '' !== setting( 'beckon_server_key' );
}

// The token of the shopper, or an empty one from who withdrew.
add_action(
	'wc_ajax_beckon_link',
	function (): void {
		check_ajax_referer( LINK_NONCE, 'nonce' );
		$token = isset( $_POST['k'] ) && is_string( $_POST['k'] ) ? sanitize_text_field( wp_unslash( $_POST['k'] ) ) : '';
		if ( ! preg_match( '/^[A-Za-z0-9_-]{0,512}$/D', $token ) ) {
			wp_send_json( array(), 400 );
		}
		if ( tells_orders() ) {
			remember( 'link', $token );
		}
		wp_send_json( array() );
	}
);

// An order is made, in the old checkout or the one of blocks.
add_action( 'woocommerce_checkout_order_created', __NAMESPACE__ . '\join_order' );
add_action( 'woocommerce_store_api_checkout_order_processed', __NAMESPACE__ . '\join_order' );

// It is paid on a page of its own: made in the back office, or at the checkout, where its payment failed.
add_action(
	'woocommerce_before_pay_action',
	function ( \WC_Order $order ): void {
		if ( '' === (string) $order->get_meta( META_LINK ) ) {
			join_order( $order );
		}
	}
);

function join_order( \WC_Order $order ): void {
	$token = recall( 'link' );
	if ( '' !== $token && '' === (string) $order->get_meta( META_TOLD ) ) {
		$order->update_meta_data( META_LINK, $token );
		$order->save();
	}
}

/** What the page after the checkout tells: the order, once, if it is paid, unless only this server may. */
function received_events(): array {
	$order = wc_get_order( absint( get_query_var( 'order-received' ) ) );
	$key   = isset( $_GET['key'] ) && is_string( $_GET['key'] ) ? sanitize_text_field( wp_unslash( $_GET['key'] ) ) : ''; // phpcs:ignore WordPress.Security.NonceVerification
	if ( ! $order || ! hash_equals( (string) $order->get_order_key(), $key ) || $order->get_meta( META_SEEN ) || ! $order->is_paid() ) {
		return array();
	}
	// Without a token the two reports could not be known for one order: then this server's is the one.
	if ( tells_orders() && ! $order->get_meta( META_LINK ) ) {
		return array();
	}
	$order->update_meta_data( META_SEEN, (string) time() );
	$order->save();
	return array( array( 'purchase', order_props( $order ) ) );
}

foreach ( array( 'woocommerce_payment_complete', 'woocommerce_order_status_processing', 'woocommerce_order_status_completed' ) as $hook ) {
	add_action(
		$hook,
		function ( int $order_id ): void {
			$order = wc_get_order( $order_id );
			if ( $order && ! $order->get_meta( META_TOLD ) ) {
				schedule( $order_id, 0, 1 );
			}
		}
	);
}

add_action(
	'woocommerce_order_refunded',
	function ( int $order_id, int $refund_id ): void {
		schedule( $order_id, $refund_id, 1 );
	},
	10,
	2
);

function schedule( int $order_id, int $refund_id, int $try ): void {
	if ( ! tells_orders() ) {
		return;
	}
	// Not "unique" in Action Scheduler's sense: that is one action for all orders, and none while one runs.
	$args = array( $order_id, $refund_id, $try );
	if ( as_has_scheduled_action( SEND, $args, 'beckon' ) ) {
		return;
	}
	$action = 1 === $try
		? as_enqueue_async_action( SEND, $args, 'beckon' )
		: as_schedule_single_action( time() + min( DAY_IN_SECONDS, MINUTE_IN_SECONDS * 4 ** ( $try - 2 ) ), SEND, $args, 'beckon' );
	if ( ! $action ) {
		log_error( ( $refund_id ? "refund $refund_id of order $order_id" : "order $order_id" ) . ' is not told: Action Scheduler took nothing' );
	}
}

add_action( SEND, __NAMESPACE__ . '\send', 10, 3 );

function send( int $order_id, int $refund_id, int $try ): void {
	$order  = wc_get_order( $order_id );
	$refund = $refund_id ? wc_get_order( $refund_id ) : null;
	if ( ! $order || ( $refund_id && ! $refund ) || ( ! $refund && $order->get_meta( META_TOLD ) ) ) {
		return; // deleted or told meanwhile
	}
	$reply = wp_remote_post(
		server_endpoint() . '/v1/events',
		array(
			'timeout'     => 10,
			'redirection' => 0,
			'headers'     => array(
				'Authorization' => 'Bearer ' . setting( 'beckon_server_key' ),
				'Content-Type'  => 'application/json',
			),
			'body'        => (string) wp_json_encode( $refund ? refund_batch( $order, $refund ) : order_batch( $order ) ),
		)
	);
	$status = is_wp_error( $reply ) ? 0 : (int) wp_remote_retrieve_response_code( $reply );
	$reason = is_wp_error( $reply ) ? $reply->get_error_message() : (string) wp_remote_retrieve_header( $reply, 'beckon-reason' );
	if ( 200 === $status || 204 === $status ) {
		if ( '' !== $reason && 'duplicate' !== $reason ) {
			log_error( "order $order_id was not taken: $reason" );
		}
		if ( ! $refund ) {
			$order->update_meta_data( META_TOLD, (string) time() );
			$order->delete_meta_data( META_LINK );
			$order->save();
		}
		return;
	}
	$more = $try < TRIES && 400 !== $status; // a batch that is wrong stays so; a key or an address can be set right
	log_error( sprintf( 'order %d was not told (%s %s)%s', $order_id, $status, $reason, $more ? ', trying again' : ', given up' ) );
	if ( $more ) {
		schedule( $order_id, $refund_id, $try + 1 );
	}
}

function order_batch( \WC_Order $order ): array {
	$link = (string) $order->get_meta( META_LINK );
	$paid = $order->get_date_paid() ?? $order->get_date_created();
	$id   = event_id( $order->get_date_created(), 'purchase ' . $order->get_id() );
	return batch( array( 'n' => 'purchase', 'i' => $id, 't' => $paid->getTimestamp() * 1000, 'p' => order_props( $order ) ) )
		+ ( '' !== $link ? array( 'k' => $link ) : array( 'c' => array( 'decide' => false, 'measure' => false, 'src' => 'woocommerce' ) ) );
}

/** A refund takes the lane of its order, so it names nobody. */
function refund_batch( \WC_Order $order, \WC_Order_Refund $refund ): array {
	$net = 0.0;
	foreach ( $refund->get_items() as $item ) {
		$net += abs( (float) $item->get_total() );
	}
	if ( 0.0 === $net && (float) $order->get_total() > 0 ) { // an amount without lines: as much of the goods as of all
		$net = (float) $refund->get_amount() * goods( $order ) / (float) $order->get_total();
	}
	$created = $refund->get_date_created();
	return batch(
		array(
			'n' => 'refund',
			'i' => event_id( $created, 'refund ' . $refund->get_id() ),
			't' => $created->getTimestamp() * 1000,
			'p' => array(
				'order'    => (string) $order->get_id(),
				'value'    => money( $net ),
				'currency' => $order->get_currency(),
			),
		)
	);
}

function batch( array $event ): array {
	return array(
		'v' => 1,
		's' => setting( 'beckon_site' ),
		'e' => array( $event ),
	);
}

/** The order in Beckon's words, the same from here and from the browser. */
function order_props( \WC_Order $order ): array {
	$items = array();
	foreach ( array_slice( $order->get_items(), 0, 50 ) as $item ) {
		$quantity = (float) $item->get_quantity();
		$items[]  = array_filter(
			array(
				'product'  => (string) $item->get_product_id(),
				'variant'  => $item->get_variation_id() ? (string) $item->get_variation_id() : null,
				'quantity' => $quantity,
				'price'    => money( $quantity > 0 ? (float) $item->get_total() / $quantity : 0 ),
			),
			fn ( mixed $value ): bool => null !== $value
		);
	}
	$coupons = array_values( array_diff( $order->get_coupon_codes(), array( 'beckon-offer' ) ) );
	return array_filter(
		array(
			'order'    => (string) $order->get_id(),
			'value'    => money( goods( $order ) ),
			'discount' => money( $order->get_discount_total() ),
			'tax'      => money( $order->get_total_tax() ),
			'shipping' => money( $order->get_shipping_total() ),
			'currency' => $order->get_currency(),
			'coupon'   => $coupons[0] ?? null,
			'decision' => $order->get_meta( '_beckon_decision' ) ? (string) $order->get_meta( '_beckon_decision' ) : null,
			'items'    => $items,
		),
		fn ( mixed $value ): bool => null !== $value
	);
}

/** What the goods cost after discounts, without tax, shipping and fees. */
function goods( \WC_Order $order ): float {
	return max( 0.0, (float) $order->get_subtotal() - (float) $order->get_discount_total() );
}

/** A UUIDv7 of that time, the same for the same thing each time. */
function event_id( \DateTimeInterface $at, string $what ): string {
	$hex = str_pad( dechex( $at->getTimestamp() * 1000 ), 12, '0', STR_PAD_LEFT ) . hash( 'sha256', setting( 'beckon_site' ) . ' ' . $what );
	$hex = substr_replace( $hex, '7', 12, 1 );
	$hex = substr_replace( $hex, '89ab'[ hexdec( $hex[16] ) & 3 ], 16, 1 );
	return preg_replace( '/^(.{8})(.{4})(.{4})(.{4})(.{12}).*$/', '$1-$2-$3-$4-$5', $hex );
}
