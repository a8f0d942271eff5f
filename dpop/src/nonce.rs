//! Nonces that a server gives: how it makes and knows them, and how a client keeps them ([RFC 9449, section 8]).
//!
//! [RFC 9449, section 8]: https://www.rfc-editor.org/rfc/rfc9449#section-8

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use thiserror::Error;
use url::{Origin, Url};
use vestibule_oauth_core::{Secret, UnixTime, base64url};

/// The keys under which a server makes nonces: the one in use and, while they change, another that is still or already
/// known. All nodes of a server share them.
#[derive(Clone, Debug)]
#[must_use]
pub struct NonceKeys {
    current: Secret<[u8; 32]>,
    other: Option<Secret<[u8; 32]>>,
}

impl NonceKeys {
    /// One key, both to make nonces and to know them.
    pub const fn new(current: Secret<[u8; 32]>) -> Self {
        Self { current, other: None }
    }

    /// The same, knowing the nonces of another key as well: the last one, or the next one where some nodes use it.
    pub fn with_other(mut self, other: Secret<[u8; 32]>) -> Self {
        self.other = Some(other);
        self
    }
}

/// Makes nonces and knows them again without remembering any: a nonce is a code over the minute it was made in.
///
/// ```
/// use vestibule_dpop::{NonceIssuer, NonceKeys};
/// use vestibule_oauth_core::{Secret, UnixTime};
///
/// let issuer = NonceIssuer::new(NonceKeys::new(Secret::new([7; 32])));
/// let now = UnixTime::from_secs(1_700_000_000);
/// let nonce = issuer.issue(now); // for the `DPoP-Nonce` field of every answer
/// assert!(issuer.accepts(&nonce, now));
/// assert!(!issuer.accepts(&nonce, now.after(issuer.lifetime())));
/// ```
#[derive(Clone, Debug)]
pub struct NonceIssuer {
    keys: NonceKeys,
    step: u64,
    /// The nonces of the step that was asked about last: each is a function of its step, and need not be computed for every request.
    last: Arc<RwLock<Option<Around>>>,
}

/// The nonces that are good around one step.
#[derive(Clone, Debug)]
struct Around {
    number: u64,
    /// The one to give.
    current: String,
    /// All others that are accepted.
    others: Vec<String>,
}

impl NonceIssuer {
    /// An issuer whose nonces change every minute and are accepted for one to two.
    pub fn new(keys: NonceKeys) -> Self {
        Self { keys, step: 60, last: Arc::default() }
    }

    /// The same with another step, in whole seconds, from 1 second to 100 seconds: no nonce of AT Protocol may live
    /// longer than 5 minutes.
    #[must_use]
    pub fn with_step(mut self, step: Duration) -> Self {
        self.step = step.as_secs().clamp(1, MAX_STEP);
        self.last = Arc::default();
        self
    }

    /// The nonce of this moment: 32 characters.
    pub fn issue(&self, now: UnixTime) -> String {
        self.around(now, |around| around.current.clone())
    }

    /// Whether this is a nonce of the last step, this one, or the next (which another node with a faster clock may have
    /// reached). The comparison takes constant time.
    pub fn accepts(&self, nonce: &str, now: UnixTime) -> bool {
        let is = |good: &String| bool::from(good.as_bytes().ct_eq(nonce.as_bytes()));
        self.around(now, |around| {
            // All of them are looked at, wherever it was found.
            around.others.iter().fold(is(&around.current), |found, good| found | is(good))
        })
    }

    /// Asks about the nonces around this time.
    fn around<T>(&self, now: UnixTime, ask: impl FnOnce(&Around) -> T) -> T {
        let number = now.as_secs() / self.step;
        let last = self.last.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(around) = last.as_ref().filter(|around| around.number == number) {
            return ask(around);
        }
        drop(last);
        let around = Around::of(&self.keys, number);
        let answer = ask(&around);
        *self.last.write().unwrap_or_else(PoisonError::into_inner) = Some(around);
        answer
    }

    /// The longest that a nonce is accepted: from the beginning of the step before it, at a slower node, to the end of
    /// the step after it.
    pub const fn lifetime(&self) -> Duration {
        Duration::from_secs(self.step * 3)
    }
}

impl Around {
    fn of(keys: &NonceKeys, number: u64) -> Self {
        let nonce = |key: &Secret<[u8; 32]>, number| base64url::encode(encode(key, number));
        let steps = [number, number.saturating_sub(1), number.saturating_add(1)];
        let [current, others @ ..] = steps.map(|number| nonce(&keys.current, number));
        let known = keys.other.iter().flat_map(|key| steps.map(|number| nonce(key, number)));
        Self { number, current, others: others.into_iter().chain(known).collect() }
    }
}

/// Four octets that tell the step, twenty of its code: 160 bits.
const NONCE_OCTETS: usize = 24;

/// Three steps are a nonce's lifetime, and 5 minutes are allowed.
const MAX_STEP: u64 = 100;

/// Keeps these codes apart from all others made under the same key.
const PURPOSE: &[u8] = b"vestibule dpop nonce";

fn prefix(step: u64) -> [u8; 4] {
    let [_, _, _, _, octets @ ..] = step.to_be_bytes();
    octets
}

fn encode(key: &Secret<[u8; 32]>, step: u64) -> [u8; NONCE_OCTETS] {
    let mut padded = hmac::digest::Key::<Hmac<Sha256>>::default();
    padded.iter_mut().zip(key.expose()).for_each(|(to, from)| *to = *from);
    let code = Hmac::<Sha256>::new(&padded).chain_update(PURPOSE).chain_update(step.to_be_bytes()).finalize();
    let code = code.into_bytes();
    let mut octets = [0; NONCE_OCTETS];
    octets.iter_mut().zip(prefix(step).iter().chain(&code)).for_each(|(to, from)| *to = *from);
    octets
}

/// The latest nonce of each server, as one session of a client remembers them. It is stored with the session.
///
/// ```
/// use http::{HeaderMap, HeaderValue};
/// use vestibule_dpop::{NonceMemory, NonceSeen};
/// use vestibule_oauth_core::UnixTime;
///
/// let mut nonces = NonceMemory::default();
/// let answer = HeaderMap::from_iter([("dpop-nonce".parse().unwrap(), HeaderValue::from_static("abc"))]);
/// let token = "https://server.example.com/token".parse().unwrap();
/// assert_eq!(nonces.observe(&token, &answer, UnixTime::from_secs(7)), NonceSeen::Kept);
/// assert_eq!(nonces.nonce_for(&"https://server.example.com/par".parse().unwrap()), Some("abc"));
/// assert_eq!(nonces.nonce_for(&"https://pds.example.com/".parse().unwrap()), None);
/// ```
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(try_from = "Vec<NonceOfServer>", into = "Vec<NonceOfServer>")]
pub struct NonceMemory(Vec<NonceOfServer>);

impl NonceMemory {
    /// Keeps the nonce of an answer that came from `url`, whatever its status: every answer counts, refusals and retries
    /// included.
    pub fn observe(&mut self, url: &Url, answer: &HeaderMap, now: UnixTime) -> NonceSeen {
        let mut fields = answer.get_all(&DPOP_NONCE).iter();
        let Some(field) = fields.next() else { return NonceSeen::Absent };
        let (Origin::Tuple(..), None, Ok(nonce)) = (url.origin(), fields.next(), field.to_str()) else {
            return NonceSeen::Refused;
        };
        if !is_nonce(nonce) {
            return NonceSeen::Refused;
        }
        let origin = url.origin().ascii_serialization();
        self.keep(NonceOfServer { origin, nonce: nonce.to_owned(), seen: now });
        NonceSeen::Kept
    }

    /// Takes over what `other` knows of the server at `url`, and of no other: a call that was made with a copy of a
    /// memory gives back what it learned, and nothing that was learned elsewhere meanwhile is lost.
    pub fn adopt(&mut self, url: &Url, other: &Self) {
        let origin = url.origin().ascii_serialization();
        if let Some(entry) = other.0.iter().find(|entry| entry.origin == origin) {
            self.keep(entry.clone());
        }
    }

    fn keep(&mut self, entry: NonceOfServer) {
        self.0.retain(|known| known.origin != entry.origin);
        if self.0.len() == MAX_SERVERS {
            let oldest = self.0.iter().enumerate().min_by_key(|(_, known)| known.seen).map(|(n, _)| n);
            oldest.map(|n| self.0.swap_remove(n));
        }
        self.0.push(entry);
    }

    /// The latest nonce of the server at `url`: scheme, host and port decide, the path does not.
    pub fn nonce_for(&self, url: &Url) -> Option<&str> {
        let origin = url.origin().ascii_serialization();
        self.0.iter().find(|entry| entry.origin == origin).map(|entry| entry.nonce.as_str())
    }
}

/// What an answer did to a [`NonceMemory`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_enums, reason = "a server has given a nonce, no nonce, or something else")]
pub enum NonceSeen {
    /// Its nonce is kept.
    Kept,
    /// It has none. A server of AT Protocol gives one with every answer to a request with a proof.
    Absent,
    /// What it has is no nonce: several fields, other characters, too long, or no server to keep it for.
    Refused,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct NonceOfServer {
    origin: String,
    nonce: String,
    seen: UnixTime,
}

impl TryFrom<Vec<NonceOfServer>> for NonceMemory {
    type Error = InvalidNonceMemory;

    fn try_from(entries: Vec<NonceOfServer>) -> Result<Self, Self::Error> {
        if entries.len() > MAX_SERVERS {
            Err(InvalidNonceMemory::TooMany)
        } else if !entries.iter().all(|entry| is_nonce(&entry.nonce)) {
            Err(InvalidNonceMemory::Nonce)
        } else {
            Ok(Self(entries))
        }
    }
}

impl From<NonceMemory> for Vec<NonceOfServer> {
    fn from(memory: NonceMemory) -> Self {
        memory.0
    }
}

/// Why stored nonces are not read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum InvalidNonceMemory {
    /// More servers than one session has.
    #[error("nonces must be of at most 8 servers")]
    TooMany,
    /// One of them is no nonce.
    #[error("a nonce must have 1 to 256 characters of visible ascii, without quotes and backslashes")]
    Nonce,
}

/// A session talks to one authorization server, one PDS, and what the PDS passes requests on to.
const MAX_SERVERS: usize = 8;

/// Those of the AT Protocol reference server have 43, those with a signed time in them up to 200.
const MAX_NONCE_LENGTH: usize = 256;

/// The field's name, in the lower case that HTTP/2 has.
static DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// `nonce = 1*NQCHAR` ([RFC 9449, section 8.1](https://www.rfc-editor.org/rfc/rfc9449#section-8.1)).
fn is_nonce(text: &str) -> bool {
    let nqchar = |b: u8| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    (1..=MAX_NONCE_LENGTH).contains(&text.len()) && text.bytes().all(nqchar)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn r91_what_a_call_learned_of_one_server_changes_nothing_about_another() {
        let [one, other]: [Url; 2] =
            ["https://a.example/x", "https://b.example/"].map(|url| url.parse().unwrap());
        let answer = |nonce| HeaderMap::from_iter([(DPOP_NONCE.clone(), HeaderValue::from_static(nonce))]);
        let mut memory = NonceMemory::default();
        memory.observe(&other, &answer("new"), UnixTime::from_secs(9));
        let mut copy = NonceMemory::default();
        copy.observe(&other, &answer("old"), UnixTime::from_secs(1));
        copy.observe(&one, &answer("learned"), UnixTime::from_secs(2));
        memory.adopt(&one, &copy);
        assert_eq!((memory.nonce_for(&one), memory.nonce_for(&other)), (Some("learned"), Some("new")));
    }

    const NOW: UnixTime = UnixTime::from_secs(1_700_000_040); // the first second of a step

    fn issuer(current: u8, other: Option<u8>) -> NonceIssuer {
        let keys = NonceKeys::new(Secret::new([current; 32]));
        NonceIssuer::new(match other {
            None => keys,
            Some(other) => keys.with_other(Secret::new([other; 32])),
        })
    }

    fn at(seconds: i64) -> UnixTime {
        UnixTime::from_secs(NOW.as_secs().checked_add_signed(seconds).unwrap())
    }

    fn answer(nonces: &[&'static str]) -> HeaderMap {
        nonces.iter().map(|nonce| (DPOP_NONCE.clone(), HeaderValue::from_static(nonce))).collect()
    }

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn t48_the_last_step_this_one_and_the_next() {
        let issuer = issuer(1, None);
        let nonce = issuer.issue(NOW);
        assert_eq!(nonce, issuer.issue(at(59)));
        for (seconds, accepted) in
            [(-61, false), (-60, true), (0, true), (119, true), (120, false), (4000, false)]
        {
            assert_eq!(issuer.accepts(&nonce, at(seconds)), accepted, "{seconds}");
        }
        assert!(!issuer.accepts(&nonce, at(-60).after(issuer.lifetime())));
        // The number in front comes round again after 2^32 steps; the code behind it does not.
        assert!(!issuer.accepts(&nonce, NOW.after(Duration::from_secs(60 << 32))));
    }

    #[test]
    fn t48_steps_are_bounded() {
        for (seconds, lifetime) in [(0, 3), (1, 3), (60, 180), (100, 300), (101, 300), (u64::MAX, 300)] {
            let issuer = issuer(1, None).with_step(Duration::from_secs(seconds));
            assert_eq!(issuer.lifetime().as_secs(), lifetime);
            assert!(issuer.accepts(&issuer.issue(NOW), NOW));
        }
    }

    #[test]
    fn t48_two_keys_live_during_rotation() {
        for (makes, knows, accepted) in [
            (issuer(1, None), issuer(1, Some(2)), true),
            (issuer(1, Some(2)), issuer(2, Some(1)), true),
            (issuer(2, Some(1)), issuer(1, Some(2)), true),
            (issuer(2, Some(1)), issuer(2, None), true),
            (issuer(1, None), issuer(2, None), false),
            (issuer(1, None), issuer(2, Some(3)), false),
        ] {
            assert_eq!(knows.accepts(&makes.issue(NOW), NOW), accepted, "{makes:?} {knows:?}");
        }
    }

    #[test]
    fn t48_anything_else_is_no_nonce() {
        let issuer = issuer(1, None);
        let nonce = issuer.issue(NOW);
        assert!(is_nonce(&nonce) && nonce.len() == 32);
        for n in 0..nonce.len() {
            let mut other = nonce.clone().into_bytes();
            other[n] = if other[n] == b'A' { b'B' } else { b'A' };
            assert!(!issuer.accepts(str::from_utf8(&other).unwrap(), NOW), "{n}");
        }
        for other in [
            "",
            nonce.strip_suffix(char::is_alphanumeric).unwrap_or("short"),
            &format!("{nonce}A"),
            &format!("{nonce}="),
        ] {
            assert!(!issuer.accepts(other, NOW), "{other}");
        }
    }

    #[test]
    fn r91_one_nonce_for_each_server() {
        let mut memory = NonceMemory::default();
        let (token, pds) = (url("https://as.example/token"), url("https://pds.example/xrpc/a"));
        assert_eq!(memory.nonce_for(&token), None);
        assert_eq!(memory.observe(&token, &answer(&["one"]), NOW), NonceSeen::Kept);
        assert_eq!(memory.observe(&pds, &answer(&["two"]), NOW), NonceSeen::Kept);
        for (address, nonce) in [
            ("https://as.example/par?x#y", Some("one")),
            ("https://AS.example:443/", Some("one")),
            ("http://as.example/token", None),
            ("https://as.example:8443/token", None),
            ("https://pds.example/", Some("two")),
            ("data:,", None),
        ] {
            assert_eq!(memory.nonce_for(&url(address)), nonce, "{address}");
        }
        assert_eq!(memory.observe(&token, &answer(&["three"]), NOW), NonceSeen::Kept);
        assert_eq!(memory.nonce_for(&token), Some("three"));
        assert_eq!(memory.observe(&token, &answer(&[]), NOW), NonceSeen::Absent);
        assert_eq!(memory.nonce_for(&token), Some("three"));
    }

    #[test]
    fn r91_what_is_no_nonce_is_not_kept() {
        let mut memory = NonceMemory::default();
        let token = url("https://as.example/token");
        for nonces in [&["a", "a"][..], &[""], &["a b"], &["\"a\""], &["a\\b"]] {
            assert_eq!(memory.observe(&token, &answer(nonces), NOW), NonceSeen::Refused, "{nonces:?}");
        }
        let field = |value: &[u8]| {
            HeaderMap::from_iter([(DPOP_NONCE.clone(), HeaderValue::from_bytes(value).unwrap())])
        };
        assert_eq!(memory.observe(&token, &field(b"\xe9"), NOW), NonceSeen::Refused);
        assert_eq!(memory.observe(&token, &field(&[b'a'; 257]), NOW), NonceSeen::Refused);
        assert_eq!(memory.observe(&url("data:,"), &answer(&["a"]), NOW), NonceSeen::Refused);
        assert_eq!(memory, NonceMemory::default());
        assert_eq!(memory.observe(&token, &field(&[b'~'; 256]), NOW), NonceSeen::Kept);
    }

    #[test]
    fn r91_the_server_not_heard_from_longest_is_forgotten() {
        let mut memory = NonceMemory::default();
        let server = |n: usize| url(&format!("https://s{n}.example/"));
        for n in 0..MAX_SERVERS {
            memory.observe(&server(n), &answer(&["a"]), at(n as i64));
        }
        memory.observe(&server(0), &answer(&["b"]), at(100));
        memory.observe(&server(99), &answer(&["c"]), at(101));
        assert_eq!(memory.0.len(), MAX_SERVERS);
        for (n, nonce) in [(0, Some("b")), (1, None), (2, Some("a")), (7, Some("a")), (99, Some("c"))] {
            assert_eq!(memory.nonce_for(&server(n)), nonce, "{n}");
        }
    }

    #[test]
    fn r91_a_session_stores_its_nonces() {
        let mut memory = NonceMemory::default();
        memory.observe(&url("https://as.example/token"), &answer(&["one"]), NOW);
        let json = serde_json::to_string(&memory).unwrap();
        assert_eq!(json, r#"[{"origin":"https://as.example","nonce":"one","seen":1700000040}]"#);
        assert_eq!(serde_json::from_str::<NonceMemory>(&json).unwrap(), memory);
        let entry = json.trim_start_matches('[').trim_end_matches(']');
        for stored in [json.replace("one", "o\\\"e"), format!("[{}]", [entry; MAX_SERVERS + 1].join(","))] {
            assert!(serde_json::from_str::<NonceMemory>(&stored).is_err(), "{stored}");
        }
    }
}
