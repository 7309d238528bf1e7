<?php
require_once __DIR__ . '/offer.php';

use Beckon\{PdoUses, Refusal, Verifier};

/** For the cart page, as often as it likes. $page is the text of /.well-known/jwks.json, kept by the shop. */
function discount_for(string $token, array $cart, string $page): array
{
    try {
        $verifier = new Verifier($page, 'https://shop.example/px', 'demo');
        return ['offer' => $verifier->verify($token, time(), $cart)];
    } catch (Refusal $refusal) {
        return ['refused' => $refusal->getMessage()]; // 'expired', 'min-cart' ...: never a reason to stop the checkout
    }
}

/**
 * For the order, once: in the transaction that writes it. Throws a Refusal, 'used', when another order was first.
 * PdoUses::install($db) has made the table, when the shop was set up.
 */
function place_order(array $offer, PDO $db, callable $write): void
{
    $db->beginTransaction();
    try {
        Verifier::redeem($offer, new PdoUses($db));
        $write();
        $db->commit();
    } catch (Throwable $fault) {
        $db->rollBack();
        throw $fault;
    }
}
