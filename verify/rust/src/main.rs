//! A discount function in the manner of Shopify's: the platform writes its input as JSON to stdin and reads
//! operations from stdout; what is written to stderr is its log. There is no network and no clock, and
//! nothing is remembered from one run to the next.
//!
//! The input, as a query of the function API would name it:
//!   cart { offer: attribute(key: "beckon_offer") { value }
//!          cost { subtotalAmount { amount currencyCode } }
//!          lines { id merchandise { ... on ProductVariant { product { handle } } } } }
//!   discount { metafield(namespace: "$app", key: "beckon") { jsonValue } }   -> {"jwks", "issuer", "site"}
//!   shop { localTime { date } }
//! A platform that knows the second gives it as `now`, in Unix seconds.

mod offer;

use offer::{Offer, Refusal, Want};
use serde_json::{json, Value};
use std::io::Read;

fn main() {
    let mut input = String::new();
    let read = std::io::stdin().read_to_string(&mut input).is_ok();
    let input: Value = if read { serde_json::from_str(&input).unwrap_or(Value::Null) } else { Value::Null };
    let operations = match judge(&input) {
        Ok(offer) => {
            eprintln!("{}", json!({"code": "ok", "offer": log(&offer)}));
            apply(&offer, &input)
        }
        Err(code) => {
            eprintln!("{}", json!({ "code": code }));
            json!([]) // no discount; the checkout goes on
        }
    };
    println!("{}", json!({ "operations": operations }));
}

fn judge(input: &Value) -> Result<Offer, Refusal> {
    let config = &input["discount"]["metafield"]["jsonValue"];
    let cost = &input["cart"]["cost"]["subtotalAmount"];
    let value = cost["amount"].as_str().and_then(|a| a.parse().ok());
    let want = Want {
        jwks: &config["jwks"],
        issuer: config["issuer"].as_str().unwrap_or(""),
        site: config["site"].as_str().unwrap_or(""),
        now: now(input).ok_or("not-yet-valid")?, // no time, no offer
        cart: cost["currencyCode"].as_str().map(|currency| (currency, value.unwrap_or(f64::NAN))),
    };
    offer::verify(input["cart"]["offer"]["value"].as_str().unwrap_or(""), &want)
}

/// The earliest and the latest that it can be. The shop's own day, in whatever time zone, lies within the
/// day of that date in UTC, 14 hours more on either side.
fn now(input: &Value) -> Option<(f64, f64)> {
    if let Some(second) = input["now"].as_f64() {
        return Some((second, second));
    }
    let date: Vec<i64> = input["shop"]["localTime"]["date"].as_str()?.splitn(3, '-').map(|n| n.parse().ok()).collect::<Option<_>>()?;
    let (y, m, d) = (*date.first()?, *date.get(1)?, *date.get(2)?);
    let (y, m) = if m > 2 { (y, m - 3) } else { (y - 1, m + 9) }; // a year that ends with February
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + d - 719_469;
    let start = (days * 86_400) as f64;
    Some((start - 14.0 * 3600.0, start + 38.0 * 3600.0))
}

/// The operations that give the discount. Free shipping is for a function on delivery options.
fn apply(offer: &Offer, input: &Value) -> Value {
    let value = match offer.kind.as_str() {
        "percent" => json!({"percentage": {"value": offer.percent}}),
        "amount" => json!({"fixedAmount": {"amount": offer.amount}}),
        _ => return json!([]),
    };
    let fits = |line: &&Value| {
        let handle = line["merchandise"]["product"]["handle"].as_str();
        handle.map_or(false, |h| offer.applies_to.iter().any(|a| a == h))
    };
    let (operation, targets) = if offer.applies_to.is_empty() {
        ("orderDiscountsAdd", vec![json!({"orderSubtotal": {"excludedCartLineIds": []}})])
    } else {
        let lines = input["cart"]["lines"].as_array();
        ("productDiscountsAdd", lines.into_iter().flatten().filter(fits).map(|l| json!({"cartLine": {"id": l["id"]}})).collect())
    };
    if targets.is_empty() {
        return json!([]);
    }
    json!([{ operation: {"candidates": [{"message": "Your offer", "targets": targets, "value": value}], "selectionStrategy": "FIRST"} }])
}

fn log(o: &Offer) -> Value {
    json!({
        "id": o.id, "decision": o.decision, "jti": o.jti, "kind": o.kind, "percent": o.percent, "amount": o.amount,
        "currency": o.currency, "min_cart_value": o.min_cart_value, "code": o.code, "applies_to": o.applies_to,
        "combinable": o.combinable, "issued_at": o.issued_at, "expires_at": o.expires_at,
    })
}
