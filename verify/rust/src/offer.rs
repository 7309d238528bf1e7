//! Checks a signed offer without network, clock or storage: everything comes in as an argument. A second
//! use of one offer is caught where orders are known. ../README.md has the rules.

use ed25519_compact::{PublicKey, Signature};
use serde_json::{Map, Value};

const SKEW: f64 = 60.0; // seconds by which the clocks of issuer and shop may differ
const MAX_LENGTH: usize = 8192; // a token has about 500

/// Why an offer does not count: the same words in every language.
pub type Refusal = &'static str;

/// What a token promises. What an offer does not have is zero.
pub struct Offer {
    pub id: String,
    pub decision: String,
    pub jti: String,
    pub kind: String,
    pub percent: f64,
    pub amount: f64,
    pub currency: String,
    pub min_cart_value: f64,
    pub code: String,
    pub applies_to: Vec<String>,
    pub combinable: bool,
    pub issued_at: f64,
    pub expires_at: f64,
}

/// What the shop knows without the token.
pub struct Want<'a> {
    pub jwks: &'a Value,
    pub issuer: &'a str,
    pub site: &'a str,
    /// Between which Unix seconds it is now. A platform that tells the second gives it twice; one that
    /// tells the day gives its ends, and an offer is refused only when it surely is over.
    pub now: (f64, f64),
    /// Currency and value of the goods before the discount; without it the terms of the cart are not checked.
    pub cart: Option<(&'a str, f64)>,
}

/// Returns the offer. It does not use the offer up.
pub fn verify(token: &str, want: &Want) -> Result<Offer, Refusal> {
    let parts: Vec<&str> = token.split('.').collect();
    let shaped = |p: &&str| !p.is_empty() && p.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if token.len() > MAX_LENGTH || parts.len() != 3 || !parts.iter().all(shaped) {
        return Err("malformed");
    }
    let header = flat(&bytes(parts[0])?)?;
    if header.contains_key("crit") || header.get("typ") != Some(&Value::from("JWT")) {
        return Err("malformed");
    }
    if header.get("alg") != Some(&Value::from("EdDSA")) {
        return Err("wrong-algorithm"); // neither "none" nor a HMAC under the public key
    }
    let key = find(want.jwks, header.get("kid")).ok_or("unknown-key")?;
    let signature = Signature::from_slice(&bytes(parts[2])?).map_err(|_| "bad-signature")?;
    let signed = &token[..parts[0].len() + 1 + parts[1].len()];
    key.verify(signed, &signature).map_err(|_| "bad-signature")?;
    read(&flat(&bytes(parts[1])?)?, want)
}

/// Finds the key that a token names on the page of keys.
fn find(jwks: &Value, kid: Option<&Value>) -> Option<PublicKey> {
    let kid = kid.filter(|k| k.is_string())?;
    let is = |k: &&Value| k["kty"] == "OKP" && k["crv"] == "Ed25519" && &k["kid"] == kid;
    let key = jwks["keys"].as_array()?.iter().find(is)?;
    PublicKey::from_slice(&bytes(key["x"].as_str()?).ok()?).ok()
}

/// Reads claims that the issuer has signed.
fn read(claims: &Map<String, Value>, want: &Want) -> Result<Offer, Refusal> {
    let text = |name| match claims.get(name) {
        Some(Value::String(s)) if !s.is_empty() => Ok(s.clone()),
        _ => Err("incomplete"),
    };
    let seconds = |name| match claims.get(name).and_then(Value::as_f64) {
        Some(n) if n == n.trunc() && (1.0..=1e11).contains(&n) => Ok(n),
        _ => Err("incomplete"),
    };
    let (issuer, audience) = (text("iss")?, text("aud")?);
    let typed = std::cell::Cell::new(true);
    let or_none = |name, right: fn(&Value) -> bool| {
        let value = claims.get(name);
        typed.set(typed.get() && value.map_or(true, right));
        value.filter(|v| right(v))
    };
    let number = |name| or_none(name, Value::is_number).and_then(Value::as_f64).unwrap_or(0.0);
    let words = |name| or_none(name, Value::is_string).and_then(Value::as_str).unwrap_or("").to_string();
    let list = or_none("applies_to", Value::is_array).and_then(Value::as_array);
    let o = Offer {
        id: text("offer")?,
        decision: text("sub")?,
        jti: text("jti")?,
        kind: text("kind")?,
        percent: number("percent"),
        amount: number("amount"),
        currency: words("currency"),
        min_cart_value: number("min_cart_value"),
        code: words("code"),
        applies_to: list.into_iter().flatten().filter_map(Value::as_str).map(String::from).collect(),
        combinable: or_none("combinable", Value::is_boolean) == Some(&Value::Bool(true)),
        issued_at: seconds("iat")?,
        expires_at: seconds("exp")?,
    };
    let refusal = if issuer != want.issuer {
        "wrong-issuer"
    } else if audience != want.site {
        "wrong-audience"
    } else if want.now.1 + SKEW < o.issued_at {
        "not-yet-valid"
    } else if want.now.0 >= o.expires_at + SKEW {
        "expired"
    } else if !["percent", "amount", "free_shipping"].contains(&o.kind.as_str()) {
        "unknown-kind"
    } else if !typed.get() || !possible(&o) {
        "bad-value"
    } else {
        match want.cart {
            Some((currency, _)) if !o.currency.is_empty() && currency != o.currency => "wrong-currency",
            Some((_, value)) if !(units(value) >= units(o.min_cart_value)) => "min-cart",
            _ => return Ok(o),
        }
    };
    Err(refusal)
}

/// Whether the terms are those of the offer's kind.
fn possible(o: &Offer) -> bool {
    let currency = o.currency.len() == 3 && o.currency.bytes().all(|b| b.is_ascii_uppercase());
    let money = |m: f64| m == 0.0 || m > 0.0 && m <= 1e11 && currency;
    money(o.amount)
        && money(o.min_cart_value)
        && o.expires_at > o.issued_at
        && match o.kind.as_str() {
            "percent" => o.percent > 0.0 && o.percent <= 100.0 && o.amount == 0.0,
            "amount" => units(o.amount) > 0.0 && o.percent == 0.0,
            _ => o.percent == 0.0 && o.amount == 0.0,
        }
}

/// Money in ten-thousandths, the smallest that an offer knows: whole numbers compare exactly.
fn units(money: f64) -> f64 {
    (money * 10_000.0 + 0.5).floor()
}

/// Strict base64url: one spelling for the same bytes.
fn bytes(part: &str) -> Result<Vec<u8>, Refusal> {
    let (mut out, mut held, mut bits) = (Vec::with_capacity(part.len()), 0u32, 0);
    for c in part.bytes() {
        let six = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return Err("malformed"),
        };
        held = held << 6 | u32::from(six);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((held >> bits) as u8);
            held &= (1 << bits) - 1;
        }
    }
    if bits == 6 || held != 0 {
        return Err("malformed");
    }
    Ok(out)
}

/// Reads a JSON object of strings, numbers, truth values and lists of strings that names nothing twice:
/// on anything else the parsers of two languages may disagree.
fn flat(json: &[u8]) -> Result<Map<String, Value>, Refusal> {
    let object = match serde_json::from_slice(json) {
        Ok(Value::Object(object)) => object,
        _ => return Err("malformed"),
    };
    let (mut quoted, mut escaped, mut colons) = (false, false, 0);
    for b in json {
        match b {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            b':' if !quoted => colons += 1,
            _ => {}
        }
    }
    let whole = |text: &str| !text.contains('\u{FFFD}'); // it stands for half a character
    let good = |value: &Value| match value {
        Value::String(s) => whole(s),
        Value::Array(list) => list.iter().all(|v| v.as_str().map_or(false, whole)),
        Value::Number(_) | Value::Bool(_) => true,
        Value::Null | Value::Object(_) => false,
    };
    if colons != object.len() || !object.iter().all(|(name, value)| whole(name) && good(value)) {
        return Err("malformed");
    }
    Ok(object)
}
