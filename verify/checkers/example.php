<?php
// Runs the example of the documentation: php example.php < {jwks, lines: [one]}.
require __DIR__ . '/../php/example.php';

$in = json_decode(stream_get_contents(STDIN), true);
$db = new class('sqlite::memory:') extends PDO { // as MySQL does, it commits before a statement that changes tables
    public function exec(string $sql): int|false
    {
        if ($this->inTransaction() && preg_match('/^(CREATE|ALTER|DROP)/i', $sql)) {
            $this->commit();
        }
        return parent::exec($sql);
    }
};
Beckon\PdoUses::install($db);
$page = json_encode($in['jwks']);
$small = discount_for($in['lines'][0]['token'], ['currency' => 'EUR', 'value' => 1.0], $page);
$offer = discount_for($in['lines'][0]['token'], ['currency' => 'EUR', 'value' => 100.01], $page)['offer'];
$said = [$small['refused'], $offer['id']];
$orders = 0;
$try = function (callable $write) use (&$said, $offer, $db): void {
    try {
        place_order($offer, $db, $write);
    } catch (Beckon\Refusal | RuntimeException $e) {
        $said[] = $e->getMessage();
    }
};
$try(fn () => throw new RuntimeException('the order was not written')); // and the offer not used up
$try(function () use (&$said, &$orders): void { $said[] = 'order ' . ++$orders; });
$try(function () use (&$said, &$orders): void { $said[] = 'order ' . ++$orders; });
echo json_encode($said);
