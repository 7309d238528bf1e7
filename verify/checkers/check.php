<?php
// Runs lines of tokens through the PHP verifier: php check.php < lines.
require __DIR__ . '/../php/offer.php';

$in = json_decode(stream_get_contents(STDIN), true, 512, JSON_THROW_ON_ERROR);
$verifier = new Beckon\Verifier(json_encode($in['jwks']), $in['issuer'], $in['site']);
Beckon\PdoUses::install($db = new PDO('sqlite::memory:'));
$uses = new Beckon\PdoUses($db);
$results = [];
foreach ($in['lines'] as $line) {
    try {
        $offer = $verifier->verify($line['token'], $line['now'], $line['cart'] ?? null);
        if ($line['redeem'] ?? false) {
            Beckon\Verifier::redeem($offer, $uses);
        }
        $results[] = ['code' => 'ok', 'offer' => $offer];
    } catch (Beckon\Refusal $e) {
        $results[] = ['code' => $e->getMessage()];
    }
}
echo json_encode($results, JSON_THROW_ON_ERROR);
