//! Access tokens: signed texts that say what they are for ([RFC 9068]), or random ones that only this server understands.
//!
//! [RFC 9068]: https://www.rfc-editor.org/rfc/rfc9068

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use vestibule_dpop::{
    Algorithm, Claims, Compact, EncodedHeader, Jwk, JwkEntry, JwkSet, ProtectedHeader, SignError, Signer,
    Thumbprint, Verifier,
};
use vestibule_oauth_core::{ClientId, ScopeSet, Secret, UnixTime, base64url};

use crate::client::TokenFormat;
use crate::grant::GrantId;
use crate::token::{OpaqueToken, TokenHash, TokenKind};

/// What an access token says, in either form.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TokenFacts {
    /// The grant it belongs to; a client that asks for itself has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<GrantId>,
    /// Whose it is.
    pub client: ClientId,
    /// Whom it speaks for.
    pub subject: String,
    /// What it is good for.
    pub scope: ScopeSet,
    /// Where it is good: at least one resource.
    pub audience: Vec<String>,
    /// The DPoP key it is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof_key: Option<Thumbprint>,
    /// Who acts for the subject, the one who acts now in front
    /// ([RFC 8693, section 4.1](https://www.rfc-editor.org/rfc/rfc8693#section-4.1)).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actors: Vec<String>,
    /// When it was issued.
    pub issued_at: UnixTime,
    /// When it ends.
    pub expires_at: UnixTime,
}

/// An opaque access token as a store keeps it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(clippy::exhaustive_structs, reason = "a name and what it stands for")]
pub struct AccessToken {
    /// Its name.
    pub hash: TokenHash,
    /// What it says.
    pub facts: TokenFacts,
}

/// A key that signs access tokens.
///
/// ```
/// use vestibule_dpop::{Es256Secret, default_signer};
/// use vestibule_token_endpoint::TokenKey;
///
/// let key = TokenKey::new("key-1", default_signer(&Es256Secret::from_entropy([7; 32])));
/// assert_eq!(key.kid(), "key-1");
/// ```
#[derive(Clone)]
pub struct TokenKey {
    kid: String,
    header: EncodedHeader,
    signer: Arc<dyn Signer>,
    used_from: UnixTime,
}

impl TokenKey {
    /// The key that is published under the name `kid`.
    pub fn new(kid: impl Into<String>, signer: Arc<dyn Signer>) -> Self {
        let kid = kid.into();
        let header = ProtectedHeader::new(&*signer).with_typ(TYPE).with_kid(&kid).encode();
        Self { kid, header, signer, used_from: UnixTime::from_secs(0) }
    }

    /// The same key, published at once and used from `time` on, when whoever verifies tokens has had time to see it (T70).
    #[must_use]
    pub const fn used_from(mut self, time: UnixTime) -> Self {
        self.used_from = time;
        self
    }

    /// Its name.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    pub(crate) fn public_key(&self) -> &Jwk {
        self.signer.public_key()
    }

    pub(crate) fn algorithm(&self) -> Algorithm {
        self.signer.algorithm()
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// The `typ` of a signed access token.
const TYPE: &str = "at+jwt";

/// The keys that sign access tokens, the newest in front. All of them are published, and known.
#[derive(Clone, Default, Debug)]
pub(crate) struct TokenKeys(Vec<TokenKey>);

impl TokenKeys {
    pub(crate) const fn new(keys: Vec<TokenKey>) -> Self {
        Self(keys)
    }

    /// The newest key that may be used by now; should none be, the oldest.
    pub(crate) fn signing(&self, now: UnixTime) -> Option<&TokenKey> {
        self.0.iter().find(|key| key.used_from <= now).or_else(|| self.0.last())
    }

    pub(crate) fn find(&self, kid: &str) -> Option<&TokenKey> {
        self.0.iter().find(|key| key.kid == kid)
    }

    /// The key set to publish.
    pub(crate) fn to_jwk_set(&self) -> JwkSet {
        self.0
            .iter()
            .map(|key| JwkEntry::new(key.public_key().clone(), key.kid.clone(), key.algorithm()))
            .collect()
    }
}

/// An access token that was made: the text to give out, and what a store is to keep of it.
#[derive(Debug)]
pub(crate) struct Minted {
    pub(crate) text: Secret,
    pub(crate) keep: Option<AccessToken>,
}

/// Makes an access token of these facts.
pub(crate) fn mint(
    facts: TokenFacts,
    format: TokenFormat,
    issuer: &str,
    keys: &TokenKeys,
    entropy: [u8; 32],
    now: UnixTime,
) -> Result<Minted, SignError> {
    match (format, keys.signing(now)) {
        (TokenFormat::Jwt, Some(key)) => {
            let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, ..] = entropy;
            let id = base64url::encode([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]);
            let payload = Wire::of(&facts, issuer, &id);
            let payload =
                serde_json::to_vec(&payload).map_err(|error| SignError::Failed(error.to_string()))?;
            Ok(Minted { text: Secret::new(key.header.sign(payload, &*key.signer)?), keep: None })
        }
        (TokenFormat::Jwt, None) => {
            Err(SignError::Failed("there is no key to sign access tokens with".to_owned()))
        }
        (TokenFormat::Opaque, _) => {
            let token = OpaqueToken::from_entropy(TokenKind::Access, entropy);
            Ok(Minted { text: token.text(), keep: Some(AccessToken { hash: token.hash(), facts }) })
        }
    }
}

/// Reads a signed access token of this server's own; `None` for anything else, and for one that has ended.
pub(crate) fn read(
    text: &str,
    issuer: &str,
    keys: &TokenKeys,
    verifier: &(impl Verifier + ?Sized),
    now: UnixTime,
) -> Option<TokenFacts> {
    let jws = Compact::parse(text, Compact::MAX_LENGTH).ok()?;
    let key = keys.find(jws.header().kid()?).filter(|_| jws.header().is_type(TYPE))?;
    jws.verify(verifier, key.public_key(), &[key.algorithm()]).ok()?;
    let claims = Claims::parse(jws.payload()).ok()?;
    let expires_at = claims.time("exp").ok().filter(|end| *end > now)?;
    if claims.text("iss").ok()? != issuer {
        return None;
    }
    let grant = claims.optional_text("sid").ok()?.map(str::parse).transpose().ok()?;
    let proof_key = match claims.object("cnf").ok()? {
        Some(cnf) => Some(cnf.text("jkt").ok()?.parse().ok()?),
        None => None,
    };
    Some(TokenFacts {
        grant,
        client: claims.text("client_id").ok()?.parse().ok()?,
        subject: claims.text("sub").ok()?.to_owned(),
        scope: claims.optional_text("scope").ok()?.unwrap_or_default().parse().ok()?,
        audience: claims.texts("aud").ok()?.into_iter().map(str::to_owned).collect(),
        proof_key,
        actors: actors(&claims)?,
        issued_at: claims.time("iat").ok()?,
        expires_at,
    })
}

/// The chain of `act` claims, outermost first.
fn actors(claims: &Claims<'_>) -> Option<Vec<String>> {
    fn go(claims: &Claims<'_>, actors: &mut Vec<String>) -> Option<()> {
        let Some(act) = claims.object("act").ok()? else { return Some(()) };
        if actors.len() == MAX_ACTORS {
            return None;
        }
        actors.push(act.text("sub").ok()?.to_owned());
        go(&act, actors)
    }
    let mut actors = Vec::new();
    go(claims, &mut actors).map(|()| actors)
}

/// How often a token may be exchanged on (T44): each time one more stands between the person and what is done for them.
pub(crate) const MAX_ACTORS: usize = 4;

/// The claims as they are signed, in the order of RFC 9068, section 2.2.
#[derive(Serialize)]
struct Wire<'a> {
    iss: &'a str,
    exp: UnixTime,
    aud: OneOrMore<'a>,
    sub: &'a str,
    client_id: &'a ClientId,
    iat: UnixTime,
    jti: &'a str,
    scope: &'a ScopeSet,
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<GrantId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cnf: Option<Confirmation<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<Box<Actor<'a>>>,
}

impl<'a> Wire<'a> {
    fn of(facts: &'a TokenFacts, issuer: &'a str, jti: &'a str) -> Self {
        Self {
            iss: issuer,
            exp: facts.expires_at,
            aud: OneOrMore::of(&facts.audience),
            sub: &facts.subject,
            client_id: &facts.client,
            iat: facts.issued_at,
            jti,
            scope: &facts.scope,
            sid: facts.grant,
            cnf: facts.proof_key.as_ref().map(|jkt| Confirmation { jkt }),
            act: Actor::chain(&facts.actors),
        }
    }
}

/// `aud`: a text where there is one, as most readers expect.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum OneOrMore<'a> {
    One(&'a str),
    More(&'a [String]),
}

impl<'a> OneOrMore<'a> {
    pub(crate) fn of(list: &'a [String]) -> Self {
        match list {
            [one] => Self::One(one),
            more => Self::More(more),
        }
    }
}

/// `cnf` ([RFC 9449, section 6.1](https://www.rfc-editor.org/rfc/rfc9449#section-6.1)).
#[derive(Serialize)]
pub(crate) struct Confirmation<'a> {
    pub(crate) jkt: &'a Thumbprint,
}

/// `act`, one inside the other.
#[derive(Serialize)]
pub(crate) struct Actor<'a> {
    sub: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<Box<Self>>,
}

impl<'a> Actor<'a> {
    pub(crate) fn chain(actors: &'a [String]) -> Option<Box<Self>> {
        actors.iter().rev().fold(None, |act, sub| Some(Box::new(Self { sub, act })))
    }
}

#[cfg(test)]
mod tests {
    use vestibule_dpop::{DefaultVerifier, Es256Secret, default_signer};

    use super::*;

    const ISSUER: &str = "https://as.example";
    const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);

    fn key(kid: &str, secret: u8) -> TokenKey {
        TokenKey::new(kid, default_signer(&Es256Secret::from_entropy([secret; 32])))
    }

    fn facts() -> TokenFacts {
        TokenFacts {
            grant: Some(GrantId::from_entropy([1; 16])),
            client: "app".parse().unwrap(),
            subject: "did:plc:abc".to_owned(),
            scope: "a b".parse().unwrap(),
            audience: vec![ISSUER.to_owned()],
            proof_key: Some(Thumbprint::from_hash([2; 32])),
            actors: vec!["worker".to_owned(), "app".to_owned()],
            issued_at: NOW,
            expires_at: UnixTime::from_secs(NOW.as_secs() + 600),
        }
    }

    fn minted(facts: &TokenFacts, keys: &TokenKeys) -> String {
        mint(facts.clone(), TokenFormat::Jwt, ISSUER, keys, [9; 32], NOW).unwrap().text.expose().clone()
    }

    fn read_at(text: &str, keys: &TokenKeys, now: UnixTime) -> Option<TokenFacts> {
        read(text, ISSUER, keys, &DefaultVerifier, now)
    }

    #[test]
    fn t62_a_signed_token_says_what_it_is_for() {
        let keys = TokenKeys::new(vec![key("one", 1)]);
        let text = minted(&facts(), &keys);
        let jws = Compact::parse(&text, 4096).unwrap();
        assert!(jws.header().is_type("at+jwt"));
        assert_eq!((jws.header().kid(), jws.header().algorithm()), (Some("one"), Algorithm::Es256));
        let claims: serde_json::Value = serde_json::from_slice(jws.payload()).unwrap();
        assert_eq!(
            claims,
            serde_json::json!({
                "iss": ISSUER, "exp": 1_700_000_600, "aud": ISSUER, "sub": "did:plc:abc", "client_id": "app",
                "iat": 1_700_000_000, "jti": "CQkJCQkJCQkJCQkJCQkJCQ", "scope": "a b",
                "sid": "AQEBAQEBAQEBAQEBAQEBAQ", "cnf": {"jkt": "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI"},
                "act": {"sub": "worker", "act": {"sub": "app"}},
            })
        );
        assert_eq!(read_at(&text, &keys, NOW), Some(facts()));
        let plain = TokenFacts { grant: None, proof_key: None, actors: Vec::new(), ..facts() };
        let plain = TokenFacts { audience: vec!["a".to_owned(), "b".to_owned()], ..plain };
        assert_eq!(read_at(&minted(&plain, &keys), &keys, NOW), Some(plain));
    }

    #[test]
    fn t62_only_this_servers_own_tokens_are_read_and_only_while_they_last() {
        let keys = TokenKeys::new(vec![key("one", 1)]);
        let text = minted(&facts(), &keys);
        let end = facts().expires_at;
        assert!(read_at(&text, &keys, UnixTime::from_secs(end.as_secs() - 1)).is_some());
        assert!(read_at(&text, &keys, end).is_none());
        assert!(read(&text, "https://other.example", &keys, &DefaultVerifier, NOW).is_none());
        for other in [vec![key("one", 2)], vec![key("two", 1)], vec![]] {
            assert!(read_at(&text, &TokenKeys::new(other), NOW).is_none());
        }
        let signer = default_signer(&Es256Secret::from_entropy([1; 32]));
        let payload = Compact::parse(&text, 4096).unwrap().payload().to_vec();
        let id_token =
            ProtectedHeader::new(&*signer).with_typ("JWT").with_kid("one").encode().sign(payload, &*signer);
        assert!(read_at(&id_token.unwrap(), &keys, NOW).is_none(), "another typ");
        let deep = TokenFacts { actors: vec!["a".to_owned(); MAX_ACTORS + 1], ..facts() };
        assert!(read_at(&minted(&deep, &keys), &keys, NOW).is_none(), "T44");
    }

    #[test]
    fn t70_a_new_key_is_published_before_it_signs() {
        let keys = TokenKeys::new(vec![
            key("new", 2).used_from(UnixTime::from_secs(NOW.as_secs() + 60)),
            key("old", 1),
        ]);
        assert_eq!(keys.to_jwk_set().entries().len(), 2);
        assert_eq!(keys.signing(NOW).unwrap().kid(), "old");
        assert_eq!(keys.signing(UnixTime::from_secs(NOW.as_secs() + 60)).unwrap().kid(), "new");
        assert!(read_at(&minted(&facts(), &keys), &keys, NOW).is_some());
        let error = mint(facts(), TokenFormat::Jwt, ISSUER, &TokenKeys::default(), [9; 32], NOW).unwrap_err();
        assert!(error.to_string().contains("no key"));
    }

    #[test]
    fn t62_an_opaque_token_is_kept_by_its_hash() {
        let keys = TokenKeys::default();
        let minted = mint(facts(), TokenFormat::Opaque, ISSUER, &keys, [9; 32], NOW).unwrap();
        let kept = minted.keep.unwrap();
        assert_eq!(OpaqueToken::parse(TokenKind::Access, minted.text.expose()).unwrap().hash(), kept.hash);
        assert_eq!(kept.facts, facts());
        let json = serde_json::to_string(&kept).unwrap();
        assert_eq!(serde_json::from_str::<AccessToken>(&json).unwrap(), kept);
    }
}
