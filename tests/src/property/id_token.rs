//! What a provider of OpenID Connect signs about a person.

use serde_json::Value;
use vestibule_dpop::{Algorithm, AwsLcVerifier, Compact, JwkSet, P256Verifier};
use vestibule_oauth_core::Secret;
use vestibule_strategy::{IdToken, IdTokenRules};

use super::material::{is_one_line, text};
use crate::fixed::NOW;
use crate::oauth::{Key, sign};

/// Whom an ID token is about is believed if the provider's key signed it for this login and for nobody else, and in no other case.
/// The first line is a header, the rest are claims, which are signed; all of it is an ID token itself.
pub fn id_token(data: &[u8]) {
    let Some(data) = text(data) else { return };
    let (header, claims) = data.split_once('\n').unwrap_or((data, ""));
    let (keys, issuers) = (JwkSet::parse(KEY.jwks()).unwrap(), [ISSUER.to_owned()]);
    let access_token = Secret::new("at-1".to_owned());
    let rules = IdTokenRules {
        issuers: &issuers,
        client_id: CLIENT,
        nonce: NONCE,
        access_token: &access_token,
        algorithms: &[Algorithm::Es256],
        now: NOW,
    };
    let verify = |text: &str, rules: &IdTokenRules<'_>| IdToken::verify(text, &keys, &AwsLcVerifier, rules);
    let signed = sign(header, claims, KEY);
    for text in [&*signed, data] {
        let token = match verify(text, &rules) {
            Ok(token) => token,
            Err(error) => {
                is_one_line(&error);
                continue;
            }
        };
        // By the other implementation, and by what any reader of JSON sees.
        let jws = Compact::parse(text, Compact::MAX_LENGTH).unwrap();
        jws.verify(&P256Verifier, KEY.signer().public_key(), &[Algorithm::Es256]).unwrap();
        let read: Value = serde_json::from_slice(jws.payload()).unwrap();
        assert_eq!(read, token.claims);
        assert_eq!((read["iss"].as_str(), read["nonce"].as_str()), (Some(ISSUER), Some(NONCE)));
        assert_eq!(read["sub"].as_str(), Some(&*token.subject));
        assert!(!token.subject.is_empty() && token.subject.len() <= IdToken::MAX_SUBJECT);
        let ours = |value: &Value| value.as_str() == Some(CLIENT);
        match &read["aud"] {
            Value::Array(all) => {
                assert!(all.iter().any(ours));
                assert!(all.len() == 1 || ours(&read["azp"]), "{read}");
            }
            one => assert!(ours(one)),
        }
        assert!(read["azp"].is_null() || ours(&read["azp"]), "{read}");
        let (now, leeway) = (NOW.as_secs() as f64, IdToken::LEEWAY.as_secs() as f64);
        let time = |name: &str| read[name].as_f64();
        assert!(time("exp").unwrap() > now - leeway, "{read}");
        assert!(time("iat").unwrap() < now + leeway + 1.0, "{read}");
        assert!(time("nbf").is_none_or(|time| time < now + leeway + 1.0), "{read}");

        for other in [
            IdTokenRules { nonce: "another", ..rules },
            IdTokenRules { client_id: "another", ..rules },
            IdTokenRules { issuers: &[], ..rules },
            IdTokenRules { algorithms: &[Algorithm::Rs256], ..rules },
        ] {
            assert!(verify(text, &other).is_err(), "{other:?}");
        }
        if read["at_hash"].is_string() {
            let access_token = Secret::new("at-2".to_owned());
            assert!(verify(text, &IdTokenRules { access_token: &access_token, ..rules }).is_err());
        }
    }
    assert!(verify(&sign(header, claims, Key(71)), &rules).is_err(), "by another key");
}

/// The provider's key.
const KEY: Key = Key(70);
const ISSUER: &str = "https://sso.test";
const CLIENT: &str = "our-app";
const NONCE: &str = "n-1";
