//! What clients sign for the token endpoint: assertions of who they are, and proofs of the key they hold.

use std::fmt;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, VerifyingKey};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use url::Url;

use super::material::{CANARY, halves, hides_the_canary, holds_the_canary, text, with_member};
use super::token::is_told;
use crate::fixed::{NOW, block_on};
use crate::oauth::{Ask, At, Ground, Key, Lab, Reply, roster, sign};

/// Who presents an assertion is the client `signed` if its key signed it, every claim is as it must be, and it was not presented
/// before; and nobody in every other case. The first line is a header, the rest are claims, which are signed; all of it is an
/// assertion itself.
pub fn client_assertion(data: &[u8]) {
    let Some(data) = text(data) else { return };
    let (header, claims) = data.split_once('\n').unwrap_or((data, ""));
    let signed = sign(header, claims, roster::SIGNED_KEY);
    for assertion in [&*signed, data] {
        let lab = Lab::new();
        let reply = identify(&lab, assertion);
        let accepted = reply.status == 200;
        match must_be_believed(assertion) {
            Ruling::Yes => assert!(accepted, "{header} {claims}: {}", reply.json),
            Ruling::No => assert!(!accepted, "{header} {claims}"),
            Ruling::Either => {}
        }
        if accepted {
            assert_eq!(identify(&lab, assertion).said(), "400 invalid_client", "a second time");
            lab.later(std::time::Duration::from_secs(301));
            assert_eq!(identify(&lab, assertion).said(), "400 invalid_client", "after its end");
            let (input, _) = assertion.rsplit_once('.').unwrap();
            assert_ne!(identify(&Lab::new(), input).status, 200, "without its signature");
        } else {
            assert!(
                matches!(&*reply.said(), "400 invalid_client" | "400 invalid_request"),
                "{}",
                reply.said()
            );
        }
    }
    let forged = sign(header, claims, Key(43));
    assert_ne!(identify(&Lab::new(), &forged).status, 200, "by another key");
    if let Some(claims) = with_member(claims.as_bytes(), "jti", CANARY)
        && !holds_the_canary(data.as_bytes())
    {
        let lab = Lab::new();
        let claims = String::from_utf8(claims).unwrap();
        let _either_way = identify(&lab, &sign(header, &claims, roster::SIGNED_KEY));
        hides_the_canary(&lab.events());
    }
}

/// A proof binds a token to its key if it keeps every rule, once, at the address it is for; else there is no token. The first line
/// is a header, in which `$JWK` stands for the key, the rest are claims, in which `$NONCE`, `$LAST`, `$NEXT` and `$OLD` stand for
/// nonces.
pub fn token_proof(data: &[u8]) {
    let (header, claims) = halves(data);
    let (Some(header), Some(claims)) = (text(header), text(claims)) else { return };
    let mut jwk = KEY.jwk();
    jwk.as_object_mut().unwrap().remove("kid");
    let header = header.replacen("$JWK", &jwk.to_string(), 1);
    let [last, now, next, old] = nonces();
    let named = [("$NONCE", now), ("$LAST", last), ("$NEXT", next), ("$OLD", old)];
    let claims =
        named.iter().fold(claims.to_owned(), |claims, (name, nonce)| claims.replacen(name, nonce, 1));

    let proof = sign(&header, &claims, KEY);
    let lab = Lab::new();
    let reply = prove(&lab, At::Token, &proof);
    assert!(reply.headers.contains_key("dpop-nonce"), "who sends a proof gets the next nonce");
    let accepted = reply.status == 200;
    match must_be_accepted(&proof) {
        Ruling::Yes => assert!(accepted, "{header} {claims}: {}", reply.json),
        Ruling::No => assert!(!accepted, "{header} {claims}"),
        Ruling::Either => {}
    }
    if accepted {
        assert_eq!(reply.text("token_type"), "DPoP");
        let payload = reply.text("access_token").split('.').nth(1).unwrap();
        let payload: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
        let thumbprint = KEY.signer().public_key().thumbprint();
        assert_eq!(payload["cnf"]["jkt"].as_str(), Some(thumbprint.as_str()));
        assert_eq!(prove(&lab, At::Token, &proof).said(), "400 invalid_dpop_proof", "a second time");
        assert_eq!(prove(&lab, At::Introspect, &proof).said(), "400 invalid_dpop_proof", "another address");
        lab.later(std::time::Duration::from_secs(240));
        assert_ne!(prove(&lab, At::Token, &proof).status, 200, "its nonce is old");
    } else {
        let said = reply.said();
        assert!(matches!(&*said, "400 invalid_dpop_proof" | "400 use_dpop_nonce"), "{said}");
        let good: Option<Value> = serde_json::from_str(&claims).ok();
        let nonce = good.as_ref().and_then(|claims| claims["nonce"].as_str());
        let is_fresh = nonces()[..3].iter().any(|fresh| Some(&**fresh) == nonce);
        assert!(said != "400 use_dpop_nonce" || !is_fresh, "{claims}");
    }
    let forged = sign(&header, &claims, Key(61));
    assert_ne!(prove(&Lab::new(), At::Token, &forged).status, 200, "by another key");
    if let Some(claims) = with_member(claims.as_bytes(), "nonce", CANARY)
        && !holds_the_canary(data)
    {
        let claims = String::from_utf8(claims).unwrap();
        let lab = Lab::new();
        assert_ne!(prove(&lab, At::Token, &sign(&header, &claims, KEY)).status, 200, "a nonce of nobody");
        hides_the_canary(&lab.events());
    }
}

/// The key of proofs.
const KEY: Key = Key(60);

/// The client `signed` asks for a token with this assertion.
fn identify(lab: &Lab, assertion: &str) -> Reply {
    let ground: &dyn Ground = lab;
    let ask = Ask::post(lab.url(At::Token)).field("grant_type", "client_credentials");
    let reply = block_on(lab.exchange(ground.asserting(ask, assertion)));
    is_told(&reply);
    reply
}

/// The client `machine` asks for a token with this proof.
fn prove(lab: &Lab, at: At, proof: &str) -> Reply {
    let ask = Ask::post(lab.url(at)).basic("machine", &roster::secret("machine"));
    let ask = ask.fields(&[("grant_type", "client_credentials"), ("token", "none")]);
    let reply = block_on(lab.exchange(ask.header("dpop", proof)));
    is_told(&reply);
    reply
}

/// The nonces of the last minute, this one and the next, which are good; and of one that is long past.
fn nonces() -> [String; 4] {
    let issuer = Lab::nonces(1);
    let [minute, long] = [60, 600].map(std::time::Duration::from_secs);
    [NOW.before(minute), NOW, NOW.after(minute), NOW.before(long)].map(|time| issuer.issue(time))
}

/// What the rules say of a text, as far as they say it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ruling {
    Yes,
    No,
    /// The rules leave it open.
    Either,
}

/// What T18 and T19 say of an assertion at [`NOW`], without a line of the crates.
fn must_be_believed(text: &str) -> Ruling {
    let Some(Signed { header, claims }) = Signed::by(text, &SIGNED_KEY) else { return Ruling::No };
    let is_typ = |typ: &Value| {
        let typ = typ.as_str().unwrap_or_default().to_ascii_lowercase();
        ["jwt", "client-authentication+jwt"].contains(&typ.strip_prefix("application/").unwrap_or(&typ))
    };
    let is_list_of_us = |aud: &Value| aud.as_array().is_some_and(|list| list.iter().eq([ISSUER]));
    let is = |name: &str, wanted: &str| claims.get(name).is_some_and(|value| value == wanted);
    let time = |name: &str| claims.get(name).map(seconds);
    let now = NOW.as_secs();
    let holds = header.get("typ").is_none_or(is_typ)
        && header.get("kid").is_none_or(|kid| *kid == roster::SIGNED_KEY.kid())
        && is("iss", "signed")
        && is("sub", "signed")
        && claims.get("aud").is_some_and(|aud| aud == ISSUER || is_list_of_us(aud))
        && time("exp").flatten().is_some_and(|end| end > now && end <= now + 300)
        && ["iat", "nbf"]
            .iter()
            .all(|name| time(name).is_none_or(|time| time.is_some_and(|time| time <= now + 60)))
        && claims.get("jti").and_then(Value::as_str).is_some_and(|id| (1..=256).contains(&id.len()));
    if !holds {
        return Ruling::No;
    }
    // "MUST accept ... 10 seconds or less in the future but MUST reject ... greater than 60 seconds". A key in the header is no
    // business of ours, and one that is none may be refused as well as passed over.
    let open = header.contains_key("jwk")
        || ["iat", "nbf"].iter().any(|name| time(name).flatten().is_some_and(|time| time > now + 10));
    if open { Ruling::Either } else { Ruling::Yes }
}

/// What RFC 9449, section 4.3, says of a proof at [`NOW`], without a line of the crates but for the nonces.
fn must_be_accepted(text: &str) -> Ruling {
    let Some(Signed { header, claims }) = Signed::by(text, &PROOF_KEY) else { return Ruling::No };
    let is_typ = |typ: &Value| {
        let typ = typ.as_str().unwrap_or_default().to_ascii_lowercase();
        typ.strip_prefix("application/").unwrap_or(&typ) == "dpop+jwt"
    };
    let ours = KEY.jwk();
    let is_key = |jwk: &Map<String, Value>| {
        let private = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
        let same = ["kty", "crv", "x", "y"].iter().all(|name| jwk.get(*name) == ours.get(*name));
        same && private.iter().all(|name| !jwk.contains_key(*name))
    };
    let time = |name: &str| claims.get(name).map(seconds);
    let now = NOW.as_secs();
    let fresh = &nonces()[..3];
    let holds = header.get("typ").is_some_and(is_typ)
        && header.get("jwk").and_then(Value::as_object).is_some_and(is_key)
        && claims.get("jti").and_then(Value::as_str).is_some_and(|id| (1..=256).contains(&id.len()))
        && claims.get("htm").is_some_and(|method| method == "POST")
        && time("iat").flatten().is_some()
        && time("nbf").is_none_or(|time| time.is_some_and(|time| time <= now + 10))
        && time("exp").is_none_or(|time| time.is_some_and(|time| time > now - 10))
        && claims.get("nonce").is_some_and(|nonce| fresh.iter().any(|fresh| nonce == fresh));
    let address = claims.get("htu").and_then(Value::as_str).unwrap_or_default();
    match is_address(address) {
        ruling if holds => ruling,
        _ => Ruling::No,
    }
}

/// What stands in `htu` is where requests go, as it is written or as a browser reads it.
fn is_address(text: &str) -> Ruling {
    const ADDRESS: &str = "https://as.test/oauth2/token";
    if text == ADDRESS {
        return Ruling::Yes;
    }
    let Ok(url) = Url::parse(text) else { return Ruling::No };
    let path = percent_decoded(url.path());
    let is_it = url.origin().ascii_serialization() == "https://as.test"
        && path == "/oauth2/token"
        && url.username().is_empty()
        && url.password().is_none();
    if is_it { Ruling::Either } else { Ruling::No }
}

fn percent_decoded(path: &str) -> String {
    // A form's reader decodes a path as well, once what it takes for its own is put aside.
    let name = path.replace('+', "%2B").replace('&', "%26").replace('=', "%3D");
    url::form_urlencoded::parse(name.as_bytes()).next().map(|(name, _)| name.into_owned()).unwrap_or_default()
}

const ISSUER: &str = "https://as.test";

static SIGNED_KEY: LazyLock<VerifyingKey> = LazyLock::new(|| verifying_key(roster::SIGNED_KEY));

static PROOF_KEY: LazyLock<VerifyingKey> = LazyLock::new(|| verifying_key(KEY));

fn verifying_key(key: Key) -> VerifyingKey {
    let jwk = key.jwk();
    let [x, y] = ["x", "y"].map(|name| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap());
    VerifyingKey::from_sec1_bytes(&[&[4][..], &x, &y].concat()).unwrap()
}

/// A text that is signed, in the eyes of other libraries than ours.
struct Signed {
    header: Map<String, Value>,
    claims: Map<String, Value>,
}

impl Signed {
    /// A compact JWS of 8 KiB at the most, by this key with ES256, whose parts are each one object and need no extension.
    fn by(text: &str, key: &VerifyingKey) -> Option<Self> {
        let parts: Vec<&str> = text.split('.').collect();
        let &[header, claims, signature] = parts.as_slice() else { return None };
        let input = &text[..header.len() + 1 + claims.len()];
        let [header, claims, signature] =
            [header, claims, signature].map(|part| URL_SAFE_NO_PAD.decode(part).ok());
        let signature = Signature::from_slice(&signature?).ok()?;
        key.verify(input.as_bytes(), &signature).ok()?;
        let (header, claims) = (object(&header?)?, object(&claims?)?);
        let is_text = |name: &str| header.get(name).is_none_or(Value::is_string);
        let is_known = header.get("alg").is_some_and(|alg| alg == "ES256")
            && !header.contains_key("crit")
            && !header.contains_key("b64")
            && is_text("typ")
            && is_text("kid");
        (text.len() <= 8 * 1024 && is_known).then_some(Self { header, claims })
    }
}

/// Seconds since 1970, without their fraction.
fn seconds(value: &Value) -> Option<u64> {
    let time = value.as_f64().filter(|time| (0.0..1e15).contains(time));
    value.as_u64().or_else(|| time.map(|time| time as u64))
}

fn object(json: &[u8]) -> Option<Map<String, Value>> {
    match serde_json::from_slice(json).ok()? {
        Once(Value::Object(members)) => Some(members),
        Once(_) => None,
    }
}

/// A value in which no name stands twice, and of which nothing has more than 128 parts.
struct Once(Value);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Self)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Number::from_f64(number).into())
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Once(value)) = seq.next_element()? {
            list.push(value);
        }
        if list.len() <= 128 { Ok(list.into()) } else { Err(A::Error::custom("too many")) }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some((name, Once(value))) = map.next_entry::<String, Once>()? {
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("twice"));
            }
        }
        if members.len() <= 128 { Ok(members.into()) } else { Err(A::Error::custom("too many")) }
    }
}
