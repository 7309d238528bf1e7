<?php
// Checks a signed offer at checkout, offline, with PHP's own sodium. Copy this file; there are no
// dependencies. README.md in the folder above has the rules; woocommerce.php beside this one is a use.

namespace Beckon;

/** Says why an offer does not count: getMessage() is the same word in every language. */
final class Refusal extends \Exception {}

/** Remembers which offers were used. */
interface Uses
{
    /**
     * Takes a jti for an order and returns whether it was free, in one step: to ask first and write then
     * would let two orders have one offer. It may be forgotten after $until (Unix seconds).
     */
    public function claim(string $jti, int $until): bool;
}

/** Uses in the database of the orders. Claim inside the transaction that writes the order. */
final class PdoUses implements Uses
{
    public function __construct(private \PDO $db) {}

    /** Makes the table, once: with the shop's other migrations, never in a transaction, which MySQL would end here. */
    public static function install(\PDO $db): void
    {
        $db->exec('CREATE TABLE IF NOT EXISTS beckon_uses (jti VARCHAR(64) PRIMARY KEY, until BIGINT NOT NULL)');
    }

    public function claim(string $jti, int $until): bool
    {
        $insert = $this->db->prepare('INSERT INTO beckon_uses (jti, until) VALUES (?, ?) ON CONFLICT DO NOTHING'); // MySQL: INSERT IGNORE
        $insert->execute([$jti, $until]);
        return $insert->rowCount() === 1;
    }
}

final class Verifier
{
    public const SKEW = 60; // seconds by which the clocks of issuer and shop may differ
    private const MAX_LENGTH = 8192; // a token has about 500

    /** @var array<string, string> public keys by kid */
    private array $keys = [];

    /** @param string $jwks the text of /.well-known/jwks.json */
    public function __construct(string $jwks, private string $issuer, private string $site)
    {
        foreach (json_decode($jwks, true, 8, JSON_THROW_ON_ERROR)['keys'] as $k) {
            if (($k['kty'] ?? '') === 'OKP' && ($k['crv'] ?? '') === 'Ed25519' && ($k['kid'] ?? '') !== '') {
                $this->keys[$k['kid']] = sodium_base642bin($k['x'], SODIUM_BASE64_VARIANT_URLSAFE_NO_PADDING);
            }
        }
    }

    /**
     * Returns the offer, or throws a Refusal. It does not use the offer up: see redeem. The cart is
     * ['currency' => 'EUR', 'value' => 49.9], goods before the discount; without it the terms of the cart
     * are not checked.
     */
    public function verify(string $token, int $now, ?array $cart = null): array
    {
        if (strlen($token) > self::MAX_LENGTH || !preg_match('/^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)$/D', $token, $part)) {
            throw new Refusal('malformed');
        }
        $header = self::flat($part[1]);
        if (array_key_exists('crit', $header) || ($header['typ'] ?? null) !== 'JWT') {
            throw new Refusal('malformed');
        }
        if (($header['alg'] ?? null) !== 'EdDSA') { // neither "none" nor a HMAC under the public key
            throw new Refusal('wrong-algorithm');
        }
        $kid = $header['kid'] ?? null;
        if (!is_string($kid) || !isset($this->keys[$kid])) {
            throw new Refusal('unknown-key');
        }
        $signature = self::bytes($part[3]);
        if (strlen($signature) !== SODIUM_CRYPTO_SIGN_BYTES || !sodium_crypto_sign_verify_detached($signature, "$part[1].$part[2]", $this->keys[$kid])) {
            throw new Refusal('bad-signature');
        }
        return $this->offer(self::flat($part[2]), $now, $cart);
    }

    /** Uses the offer up, for one order. Call it when the order is written, not when the cart is shown. */
    public static function redeem(array $offer, Uses $uses): void
    {
        if (!$uses->claim($offer['jti'], $offer['expires_at'] + self::SKEW)) {
            throw new Refusal('used');
        }
    }

    /** Reads claims that the issuer has signed. */
    private function offer(array $claims, int $now, ?array $cart): array
    {
        foreach (['iss', 'aud', 'sub', 'jti', 'offer', 'kind'] as $name) {
            if (!is_string($claims[$name] ?? null) || $claims[$name] === '') {
                throw new Refusal('incomplete');
            }
        }
        foreach (['iat', 'exp'] as $name) {
            $value = $claims[$name] ?? null;
            if (!is_float($value) || $value !== floor($value) || $value < 1 || $value > 1e11) {
                throw new Refusal('incomplete');
            }
        }
        $typed = true;
        $optional = function (string $name, mixed $none) use ($claims, &$typed): mixed {
            $value = array_key_exists($name, $claims) ? $claims[$name] : $none;
            $typed = $typed && gettype($value) === gettype($none);
            return $value;
        };
        $offer = [
            'id' => $claims['offer'], 'decision' => $claims['sub'], 'jti' => $claims['jti'], 'kind' => $claims['kind'],
            'percent' => $optional('percent', 0.0), 'amount' => $optional('amount', 0.0), 'currency' => $optional('currency', ''),
            'min_cart_value' => $optional('min_cart_value', 0.0), 'code' => $optional('code', ''), 'applies_to' => $optional('applies_to', []),
            'combinable' => $optional('combinable', false), 'issued_at' => (int) $claims['iat'], 'expires_at' => (int) $claims['exp'],
        ];
        $refusal = match (true) {
            $claims['iss'] !== $this->issuer => 'wrong-issuer',
            $claims['aud'] !== $this->site => 'wrong-audience',
            $now + self::SKEW < $offer['issued_at'] => 'not-yet-valid',
            $now >= $offer['expires_at'] + self::SKEW => 'expired',
            !in_array($offer['kind'], ['percent', 'amount', 'free_shipping'], true) => 'unknown-kind',
            !$typed || !self::possible($offer) => 'bad-value',
            $cart !== null && $offer['currency'] !== '' && $cart['currency'] !== $offer['currency'] => 'wrong-currency',
            $cart !== null && !(self::units($cart['value']) >= self::units($offer['min_cart_value'])) => 'min-cart',
            default => null,
        };
        return $refusal === null ? $offer : throw new Refusal($refusal);
    }

    /** Whether the terms are those of the offer's kind. */
    private static function possible(array $o): bool
    {
        foreach ([$o['amount'], $o['min_cart_value']] as $money) {
            if ($money < 0 || $money > 1e11 || ($money > 0 && !preg_match('/^[A-Z]{3}$/D', $o['currency']))) {
                return false;
            }
        }
        return $o['expires_at'] > $o['issued_at'] && match ($o['kind']) {
            'percent' => $o['percent'] > 0 && $o['percent'] <= 100 && $o['amount'] == 0,
            'amount' => self::units($o['amount']) > 0 && $o['percent'] == 0,
            'free_shipping' => $o['percent'] == 0 && $o['amount'] == 0,
        };
    }

    /** Money in ten-thousandths, the smallest that an offer knows: whole numbers compare exactly. */
    private static function units(float $money): float
    {
        return floor($money * 10000 + 0.5);
    }

    /** Strict base64url: one spelling for the same bytes. */
    private static function bytes(string $part): string
    {
        $bytes = base64_decode(strtr($part, '-_', '+/'), true);
        if ($bytes === false || rtrim(strtr(base64_encode($bytes), '+/', '-_'), '=') !== $part) {
            throw new Refusal('malformed');
        }
        return $bytes;
    }

    /**
     * Reads a JSON object of strings, numbers, truth values and lists of strings that names nothing twice:
     * on anything else the parsers of two languages may disagree. Numbers become floats.
     */
    private static function flat(string $part): array
    {
        $text = self::bytes($part);
        $object = json_decode($text, true, 3);
        $outside = preg_replace('/"[^"\\\\]*+(?:\\\\.[^"\\\\]*+)*+"/s', '', $text);
        $good = is_array($object) && substr_count($outside, '{') === 1 && substr_count($outside, ':') === count($object)
            && strpos(ltrim($outside), '{') === 0;
        foreach ($good ? $object : [] as $name => $value) {
            if (is_int($value)) {
                $object[$name] = $value = (float) $value;
            }
            $texts = [(string) $name, ...(is_array($value) ? $value : (is_string($value) ? [$value] : []))];
            $good = $good && (is_array($value) || is_string($value) || is_bool($value) || (is_float($value) && is_finite($value)));
            foreach ($texts as $t) {
                $good = $good && is_string($t) && !str_contains($t, "\u{FFFD}"); // stands for half a character
            }
        }
        return $good ? $object : throw new Refusal('malformed');
    }
}
