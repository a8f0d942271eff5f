//! The token endpoint.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Map, Value, json};
use vestibule_dpop::{Compact, DefaultVerifier, Signer, sha256};
use vestibule_oauth_core::{FormRules, Params, PkceVerifier, Secret, base64url};

use super::{Code, FakeProvider, Quirk, State, keys};
use crate::client_auth::{ASSERTION_TYPE, AssertionKey, ClientAuth};
use crate::testing::answer::json_answer;
use crate::testing::call::Call;

/// How long tokens and ID tokens are good for.
const LIFETIME: Duration = Duration::from_secs(3600);

/// A code of RFC 6749, and what the developer of a strategy needs to know.
type Refusal = (&'static str, String);

impl FakeProvider {
    pub(super) fn token(&self, state: &mut State, call: &Call) -> Response<Bytes> {
        match self.issued(state, call) {
            Ok(tokens) => json_answer(StatusCode::OK, &tokens),
            Err((error, description)) => {
                let status = match error {
                    _ if self.has(Quirk::ErrorsWithStatus200) => StatusCode::OK,
                    "invalid_client" => StatusCode::UNAUTHORIZED,
                    _ => StatusCode::BAD_REQUEST,
                };
                json_answer(status, &json!({ "error": error, "error_description": description }))
            }
        }
    }

    fn issued(&self, state: &mut State, call: &Call) -> Result<Value, Refusal> {
        let form = Params::parse(&call.body, &FormRules::DEFAULT)
            .map_err(|error| ("invalid_request", error.to_string()))?;
        self.authenticated(call, &form)?;
        let value = |name: &str| form.value(name).unwrap_or_default();
        let refused = |why: &str| Err(("invalid_grant", why.to_owned()));
        if value("grant_type") != "authorization_code" {
            return Err(("unsupported_grant_type", "only codes are taken".to_owned()));
        }
        let Some(code) = state.codes.get_mut(value("code")) else { return refused("the code is unknown") };
        // Whatever else is wrong with it: who has the code has tried.
        if std::mem::replace(&mut code.spent, true) {
            return refused("the code is spent");
        }
        let code = code.clone();
        if value("redirect_uri") != code.redirect_uri {
            return refused("redirect_uri is not the one of the request");
        }
        let verifier: Option<PkceVerifier> = value("code_verifier").parse().ok();
        if !verifier.is_some_and(|verifier| code.challenge.is_answered_by(&verifier)) {
            return refused("code_verifier does not answer the challenge");
        }
        self.tokens(state, &code)
    }

    fn tokens(&self, state: &mut State, code: &Code) -> Result<Value, Refusal> {
        let access_token = state.make("access");
        state.tokens.insert(access_token.clone());
        let seconds = LIFETIME.as_secs();
        let mut answer = json!({
            "access_token": access_token, "token_type": "Bearer", "refresh_token": state.make("refresh"), "expires_in": seconds,
        });
        if let Some(answer) = answer.as_object_mut() {
            if self.has(Quirk::ExpiresInAsText) {
                answer.insert("expires_in".to_owned(), seconds.to_string().into());
            }
            if !code.scope.is_empty() {
                let by_commas = self.has(Quirk::CommaSeparatedScopes);
                let scope = if by_commas { code.scope.replace(' ', ",") } else { code.scope.clone() };
                answer.insert("scope".to_owned(), scope.into());
            }
            if code.scope.split(' ').any(|word| word == "openid") && self.issuer.is_some() {
                let id_token = self.id_token(state, code, &access_token)?;
                answer.insert("id_token".to_owned(), id_token.into());
            }
        }
        Ok(answer)
    }

    fn id_token(&self, state: &mut State, code: &Code, access_token: &str) -> Result<String, Refusal> {
        let hash = sha256(access_token);
        let (left, _) = hash.split_at(16);
        let mut claims = match self.claims() {
            Value::Object(claims) => claims,
            _ => Map::new(),
        };
        let of_the_login = [
            ("iss", json!(self.issuer.as_ref().map(|issuer| issuer.as_str()))),
            ("aud", json!(self.client_id)),
            ("nonce", json!(code.nonce)),
            ("iat", json!(state.now.as_secs())),
            ("exp", json!(state.now.after(LIFETIME).as_secs())),
            ("at_hash", json!(base64url::encode(left))),
        ];
        claims.extend(of_the_login.map(|(name, value)| (name.to_owned(), value)));
        let mut claims = Value::Object(claims);
        if let Some(change) = &state.change {
            change(&mut claims);
        }
        let text = keys::sign(state.key, &claims).map_err(|error| ("server_error", error.to_string()))?;
        state.secrets.push(text.clone());
        Ok(text)
    }

    /// Whether it is the application that asks, proved in its own way and in no other.
    fn authenticated(&self, call: &Call, form: &Params<'_>) -> Result<(), Refusal> {
        let refused = |why: &str| Err(("invalid_client", why.to_owned()));
        let field = call.header("authorization");
        let (secret, assertion) = (form.value("client_secret"), form.value("client_assertion"));
        let named = form.value("client_id") == Some(&self.client_id);
        match &self.client_auth {
            ClientAuth::SecretBasic(expected) => {
                let named = form.value("client_id").is_none_or(|id| id == self.client_id);
                let right = field.is_some_and(|field| is_basic(field, &self.client_id, expected));
                match (right && named, secret.is_none() && assertion.is_none()) {
                    (true, true) => Ok(()),
                    (false, _) => refused("the secret of client_secret_basic is wrong or missing"),
                    (true, false) => refused("the application proves itself in two ways"),
                }
            }
            _ if field.is_some() => refused("the application is not registered for client_secret_basic"),
            _ if !named => refused("client_id is not the application's"),
            ClientAuth::SecretPost(expected) => match secret {
                Some(secret) if expected.same_as(secret) && assertion.is_none() => Ok(()),
                _ => refused("the secret of client_secret_post is wrong or missing"),
            },
            ClientAuth::SignedSecret(key) => match secret {
                Some(text) if is_for(text, key.signer(), &self.client_id) && assertion.is_none() => Ok(()),
                _ => refused("the signed secret is wrong or missing"),
            },
            ClientAuth::PrivateKeyJwt(key) => match assertion {
                Some(text) if is_assertion(text, key, &self.client_id, form) && secret.is_none() => Ok(()),
                _ => refused("the assertion of private_key_jwt is wrong or missing"),
            },
            ClientAuth::Public if secret.is_none() && assertion.is_none() => Ok(()),
            ClientAuth::Public => refused("the application has no secret"),
        }
    }
}

/// RFC 6749, section 2.3.1: both halves are encoded as in a form before they are joined.
fn is_basic(field: &str, client_id: &str, secret: &Secret) -> bool {
    let text = field.strip_prefix("Basic ").and_then(|text| STANDARD.decode(text).ok());
    let text = text.and_then(|octets| String::from_utf8(octets).ok());
    let decoded = |half: &str| {
        let half = format!("x={half}");
        url::form_urlencoded::parse(half.as_bytes()).next().map(|(_, value)| value.into_owned())
    };
    let halves = text.as_deref().and_then(|text| text.split_once(':'));
    let halves = halves.map(|(id, secret)| (decoded(id), decoded(secret)));
    matches!(&halves, Some((Some(id), Some(typed))) if id == client_id && secret.same_as(typed))
}

fn is_assertion(text: &str, key: &AssertionKey, client_id: &str, form: &Params<'_>) -> bool {
    let issuer = Compact::parse(text, Compact::MAX_LENGTH)
        .ok()
        .and_then(|jws| serde_json::from_slice::<Value>(jws.payload()).ok())
        .and_then(|claims| Some(claims.get("iss")?.as_str()? == client_id));
    is_for(text, key.signer(), client_id)
        && issuer == Some(true)
        && form.value("client_assertion_type") == Some(ASSERTION_TYPE)
}

/// Whether this key signed the text, about this client.
fn is_for(text: &str, signer: &dyn Signer, client_id: &str) -> bool {
    let Ok(jws) = Compact::parse(text, Compact::MAX_LENGTH) else { return false };
    let claims: Value = serde_json::from_slice(jws.payload()).unwrap_or_default();
    jws.verify(&DefaultVerifier, signer.public_key(), &[signer.algorithm()]).is_ok()
        && claims.get("sub").and_then(Value::as_str) == Some(client_id)
}
