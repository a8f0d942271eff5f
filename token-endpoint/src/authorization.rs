//! Authorization requests ([RFC 6749, section 4.1.1]): what a client asks a person for, read and checked, before the person is
//! asked anything.
//!
//! [RFC 6749, section 4.1.1]: https://www.rfc-editor.org/rfc/rfc6749#section-4.1.1

use std::collections::BTreeSet;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use url::Url;
use vestibule_dpop::Thumbprint;
use vestibule_oauth_core::{ClientId, Issuer, Params, PkceChallenge, RedirectUri, ScopeSet};

use crate::client::{Client, ClientState, Pushing};
use crate::denial::Denial;
use crate::grant_type::GrantType;
use crate::profile::Profile;
use crate::target;

/// A good authorization request. Every rule that needs no person has been kept.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AuthorizationRequest {
    /// Who asks.
    pub client: ClientId,
    /// Where the answer goes.
    pub redirect_uri: RedirectUri,
    /// Whether the request named it. The token endpoint may want to hear it again.
    pub redirect_uri_sent: RedirectUriSent,
    /// What the client gets back as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// What it asks for, as far as this server knows it: what it does not know is left out.
    pub scope: ScopeSet,
    /// The resources it asks for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// Its PKCE challenge; none only for a client that may leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenge: Option<PkceChallenge>,
    /// The DPoP key that the code is to be bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof_key: Option<Thumbprint>,
    /// The key the client authenticated with when it pushed the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_key: Option<Thumbprint>,
    /// What goes into an ID token as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// What is to be asked of the person.
    #[serde(default)]
    pub prompt: Prompt,
    /// Who the client thinks it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login_hint: Option<String>,
    /// How long ago the person may have signed in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Duration>,
}

/// Whether an authorization request named its redirect URI.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::exhaustive_enums, reason = "it did or did not")]
pub enum RedirectUriSent {
    /// It did.
    Sent,
    /// It is the only one the client has.
    Omitted,
}

/// What is to be asked of the person ([OpenID Connect Core 1.0, section 3.1.2.1]).
///
/// ```
/// use vestibule_token_endpoint::Prompt;
///
/// let prompt: Prompt = "login consent".parse().unwrap();
/// assert!(prompt.login() && prompt.consent() && !prompt.nothing());
/// assert!("none login".parse::<Prompt>().is_err());
/// ```
///
/// [OpenID Connect Core 1.0, section 3.1.2.1]: https://openid.net/specs/openid-connect-core-1_0.html#AuthRequest
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Prompt(BTreeSet<Word>);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    None,
    Login,
    Consent,
    SelectAccount,
}

impl Prompt {
    /// Whether the person must be asked nothing at all.
    pub fn nothing(&self) -> bool {
        self.0.contains(&Word::None)
    }

    /// Whether the person has to sign in again.
    pub fn login(&self) -> bool {
        self.0.contains(&Word::Login)
    }

    /// Whether the person has to agree again.
    pub fn consent(&self) -> bool {
        self.0.contains(&Word::Consent)
    }

    /// Whether the person has to choose an account.
    pub fn select_account(&self) -> bool {
        self.0.contains(&Word::SelectAccount)
    }

    /// The same without what was done by now: the person has just signed in.
    #[must_use]
    pub fn signed_in(&self) -> Self {
        Self(
            self.0
                .iter()
                .copied()
                .filter(|word| !matches!(word, Word::Login | Word::SelectAccount))
                .collect(),
        )
    }
}

impl FromStr for Prompt {
    type Err = InvalidPrompt;

    /// Reads words parted by spaces; those that are not known are passed over, as the specification asks.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let words: BTreeSet<Word> = text.split(' ').filter_map(word).collect();
        if words.contains(&Word::None) && (words.len() > 1 || text != "none") {
            return Err(InvalidPrompt);
        }
        Ok(Self(words))
    }
}

fn word(text: &str) -> Option<Word> {
    match text {
        "none" => Some(Word::None),
        "login" => Some(Word::Login),
        "consent" => Some(Word::Consent),
        "select_account" => Some(Word::SelectAccount),
        _ => None,
    }
}

/// A `prompt` that says to ask nothing and to ask something.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
#[error("prompt must not say none together with anything else")]
pub struct InvalidPrompt;

/// An authorization request that is not good, and who is to hear of it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum AuthorizationError {
    /// The person, on a page: nobody knows where the client is, or whether it is the client that asks.
    Person(Denial),
    /// The client, by a redirect.
    Client(Denial, Box<ReturnAddress>),
}

impl AuthorizationError {
    /// What is wrong.
    pub const fn denial(&self) -> &Denial {
        match self {
            Self::Person(denial) | Self::Client(denial, _) => denial,
        }
    }
}

/// Where the answer to an authorization request goes, and what it carries besides.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReturnAddress {
    redirect_uri: RedirectUri,
    state: Option<String>,
}

impl ReturnAddress {
    /// The URL that tells the client why it gets no code ([RFC 6749, section 4.1.2.1]), with `iss` ([RFC 9207]).
    ///
    /// [RFC 6749, section 4.1.2.1]: https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2.1
    /// [RFC 9207]: https://www.rfc-editor.org/rfc/rfc9207
    pub fn refusing(&self, denial: &Denial, issuer: &Issuer) -> Url {
        let row = denial.row();
        self.with(&[("error", row.code.as_str()), ("error_description", row.for_client)], issuer)
    }

    /// The URL that brings the client its code.
    pub(crate) fn bringing(&self, code: &str, issuer: &Issuer) -> Url {
        self.with(&[("code", code)], issuer)
    }

    /// The redirect URI's own query stays in front of ours (WordPress has one).
    fn with(&self, answer: &[(&str, &str)], issuer: &Issuer) -> Url {
        let mut url = self.redirect_uri.url().clone();
        let mut query = url.query_pairs_mut();
        query.extend_pairs(answer);
        if let Some(state) = &self.state {
            query.append_pair("state", state);
        }
        query.append_pair("iss", issuer.as_str());
        drop(query);
        url
    }
}

impl AuthorizationRequest {
    /// Where its answer goes.
    pub fn return_address(&self) -> ReturnAddress {
        ReturnAddress { redirect_uri: self.redirect_uri.clone(), state: self.state.clone() }
    }

    /// Reads the parameters of a request by `client`, whom they name. What comes first decides who hears of an error: until the
    /// redirect URI is known to be the client's, nobody is sent anywhere.
    pub(crate) fn read(
        params: &Params<'_>,
        client: &Client,
        rules: &Rules<'_>,
        way: Way,
    ) -> Result<Self, AuthorizationError> {
        let person = AuthorizationError::Person;
        if client.state == ClientState::Disabled {
            return Err(person(Denial::UnknownClient));
        }
        let asked = params.value("redirect_uri").map(str::parse::<RedirectUri>).transpose();
        let asked = asked.map_err(|_| person(Denial::RedirectUriNotRegistered))?;
        let redirect_uri =
            client.redirect_to(asked.as_ref()).ok_or_else(|| person(Denial::RedirectUriNotRegistered))?;
        let state = params.value("state").map(str::to_owned);
        let address = ReturnAddress { redirect_uri: redirect_uri.clone(), state: state.clone() };
        let fail = |denial| AuthorizationError::Client(denial, Box::new(address.clone()));

        let pushed = client.pushing == Pushing::Required || rules.profile.pushing() == Pushing::Required;
        if pushed && way == Way::Plain {
            return Err(fail(Denial::NotPushed));
        }
        if params.value("request").is_some() {
            return Err(fail(Denial::RequestObject));
        }
        if params.value("response_type").ok_or_else(|| fail(Denial::Missing("response_type")))? != "code" {
            return Err(fail(Denial::ResponseType));
        }
        if params.value("response_mode").is_some_and(|mode| mode != "query") {
            return Err(fail(Denial::ResponseMode));
        }
        if !client.grant_types.contains(&GrantType::AUTHORIZATION_CODE) {
            return Err(fail(Denial::GrantTypeNotRegistered));
        }
        let prompt = params.value("prompt").unwrap_or_default().parse().map_err(|_| fail(Denial::Prompt))?;
        let scope: ScopeSet =
            params.value("scope").unwrap_or_default().parse().map_err(|_| fail(Denial::ScopeSyntax))?;
        let max_age = params.value("max_age").map(str::parse).transpose();
        let max_age = max_age.map_err(|_| fail(Denial::Parameter("max_age")))?.map(Duration::from_secs);
        let proof_key = params.value("dpop_jkt").map(str::parse).transpose();
        let request = Self {
            client: client.id.clone(),
            redirect_uri,
            redirect_uri_sent: if asked.is_some() { RedirectUriSent::Sent } else { RedirectUriSent::Omitted },
            state,
            scope: rules.known(&scope, client),
            resources: target::read(params, client).map_err(&fail)?,
            challenge: challenge(params, client, rules.profile).map_err(&fail)?,
            proof_key: proof_key.map_err(|_| fail(Denial::Parameter("dpop_jkt")))?,
            client_key: None,
            nonce: params.value("nonce").map(str::to_owned),
            prompt,
            login_hint: params.value("login_hint").map(str::to_owned),
            max_age,
        };
        let too_long = [&request.state, &request.nonce, &request.login_hint]
            .into_iter()
            .flatten()
            .any(|text| text.len() > MAX_TEXT_OCTETS || text.chars().any(char::is_control));
        if too_long {
            // Not even `state` goes back: it is what is too long.
            return Err(person(Denial::Parameter("state, nonce or login_hint")));
        }
        Ok(request)
    }
}

/// What authorization requests are held to, beside what their client is registered with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules<'a> {
    pub(crate) profile: &'a Profile,
    /// The scope words that this server knows.
    pub(crate) scope: &'a ScopeSet,
}

impl Rules<'_> {
    /// What is known of a scope: apps ask for words that mean something elsewhere, and a server that refuses them is one that
    /// they cannot use. What was granted is said in the token answer.
    pub(crate) fn known(&self, asked: &ScopeSet, client: &Client) -> ScopeSet {
        let may = if client.scope.is_empty() { self.scope } else { &client.scope };
        asked.without(&asked.without(may))
    }
}

/// How an authorization request came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    /// With a browser.
    Plain,
    /// From the client itself.
    Pushed,
}

fn challenge(
    params: &Params<'_>,
    client: &Client,
    profile: &Profile,
) -> Result<Option<PkceChallenge>, Denial> {
    let method = params.value("code_challenge_method");
    match params.value("code_challenge") {
        // RFC 7636, section 4.3: without a method it would be `plain`, which there is not.
        Some(_) if method != Some(PkceChallenge::METHOD) => Err(Denial::ChallengeMethod),
        Some(text) => text.parse().map(Some).map_err(|_| Denial::ChallengeSyntax),
        None if method.is_some() => Err(Denial::ChallengeSyntax),
        None if profile.demands_pkce(client) => Err(Denial::ChallengeMissing),
        None => Ok(None),
    }
}

/// Of each text that is kept for the client and given back: what some apps put into `state` takes a kilobyte.
const MAX_TEXT_OCTETS: usize = 2048;

#[cfg(test)]
mod tests {
    use vestibule_oauth_core::{FormRules, Transport};

    use super::*;
    use crate::client::{ClientKind, Pkce};

    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    fn client() -> Client {
        let mut client = Client::new("app".parse().unwrap(), ClientKind::Confidential);
        client.redirect_uris = vec!["https://app.example/cb?x=1".parse().unwrap()];
        client
    }

    fn read_by(
        client: &Client,
        profile: Profile,
        way: Way,
        query: &str,
    ) -> Result<AuthorizationRequest, AuthorizationError> {
        let rules = FormRules::DEFAULT.with_repeatable(&["resource"]);
        let params = Params::parse(query.as_bytes(), &rules).unwrap();
        let scope = "openid profile email".parse().unwrap();
        AuthorizationRequest::read(&params, client, &Rules { profile: &profile, scope: &scope }, way)
    }

    fn read(query: &str) -> Result<AuthorizationRequest, AuthorizationError> {
        read_by(&client(), Profile::OAUTH21, Way::Plain, query)
    }

    fn good() -> String {
        format!(
            "client_id=app&response_type=code&state=s&code_challenge={CHALLENGE}&code_challenge_method=S256"
        )
    }

    #[test]
    fn a_good_request_is_read() {
        let query = format!(
            "{}&redirect_uri=https%3A%2F%2Fapp.example%2Fcb%3Fx%3D1&scope=openid+user%3Aemail+email&nonce=n&prompt=login&\
             login_hint=alice.test&max_age=60&dpop_jkt=0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I",
            good()
        );
        let request = read(&query).unwrap();
        assert_eq!(request.redirect_uri.as_str(), "https://app.example/cb?x=1");
        assert_eq!(request.redirect_uri_sent, RedirectUriSent::Sent);
        assert_eq!(request.scope.to_string(), "openid email", "what is not known is left out");
        assert_eq!(request.challenge.as_ref().unwrap().as_str(), CHALLENGE);
        assert_eq!(
            (request.max_age, request.login_hint.as_deref()),
            (Some(Duration::from_secs(60)), Some("alice.test"))
        );
        assert!(request.prompt.login() && request.proof_key.is_some());
        let json = serde_json::to_string(&request).unwrap();
        assert_eq!(serde_json::from_str::<AuthorizationRequest>(&json).unwrap(), request);
        assert_eq!(read(&good()).unwrap().redirect_uri_sent, RedirectUriSent::Omitted);
    }

    #[test]
    fn what_is_wrong_before_the_redirect_uri_is_known_goes_to_the_person() {
        for uri in [
            "https://evil.example",
            "https://app.example/cb",
            "https://app.example/cb?x=1&y",
            "javascript:alert(1)",
            "%zz",
        ] {
            let uri: String = url::form_urlencoded::byte_serialize(uri.as_bytes()).collect();
            let error = read(&format!("{}&redirect_uri={uri}", good())).unwrap_err();
            assert_eq!(error, AuthorizationError::Person(Denial::RedirectUriNotRegistered), "{uri}");
        }
        let mut disabled = client();
        disabled.state = ClientState::Disabled;
        let error = read_by(&disabled, Profile::OAUTH21, Way::Plain, &good()).unwrap_err();
        assert_eq!(error, AuthorizationError::Person(Denial::UnknownClient));
        let long = good().replace("state=s", &format!("state={}", "s".repeat(2049)));
        assert!(matches!(read(&long), Err(AuthorizationError::Person(Denial::Parameter(_)))));
    }

    #[test]
    fn t29_t66_what_is_wrong_afterwards_goes_to_the_client() {
        let good = good();
        for (query, denial) in [
            (good.replace("response_type=code", ""), Denial::Missing("response_type")),
            (good.replace("response_type=code", "response_type=token"), Denial::ResponseType),
            (good.replace("response_type=code", "response_type=code+id_token"), Denial::ResponseType),
            (format!("{good}&response_mode=fragment"), Denial::ResponseMode),
            (format!("{good}&request=e30.e30."), Denial::RequestObject),
            (format!("{good}&prompt=none+login"), Denial::Prompt),
            (format!("{good}&scope=a%22b"), Denial::ScopeSyntax),
            (format!("{good}&max_age=-1"), Denial::Parameter("max_age")),
            (format!("{good}&dpop_jkt=x"), Denial::Parameter("dpop_jkt")),
            (format!("{good}&resource=x"), Denial::Target),
            (good.replace("S256", "plain"), Denial::ChallengeMethod),
            (good.replace("&code_challenge_method=S256", ""), Denial::ChallengeMethod),
            (good.replace(CHALLENGE, "abc"), Denial::ChallengeSyntax),
            (good.replace(&format!("&code_challenge={CHALLENGE}"), ""), Denial::ChallengeSyntax),
            ("response_type=code&state=s".to_owned(), Denial::ChallengeMissing),
        ] {
            match read(&query).unwrap_err() {
                AuthorizationError::Client(found, address) => {
                    assert_eq!(found, denial, "{query}");
                    assert_eq!(address.state.as_deref(), Some("s"), "{query}");
                }
                person => panic!("{query}: {person:?}"),
            }
        }
    }

    #[test]
    fn t29_who_may_leave_the_challenge_out() {
        let plain = "response_type=code";
        let mut exempt = client();
        exempt.pkce = Pkce::DangerExempt;
        assert!(read_by(&exempt, Profile::OAUTH21, Way::Plain, plain).unwrap().challenge.is_none());
        assert!(read_by(&exempt, Profile::FAPI2, Way::Pushed, plain).is_err());
        assert!(read_by(&client(), Profile::LEGACY20, Way::Plain, plain).is_ok());
    }

    #[test]
    fn t66_a_request_that_must_be_pushed() {
        for (profile, pushing, way, ok) in [
            (Profile::FAPI2, Pushing::Optional, Way::Plain, false),
            (Profile::FAPI2, Pushing::Optional, Way::Pushed, true),
            (Profile::ATPROTO, Pushing::Optional, Way::Plain, false),
            (Profile::OAUTH21, Pushing::Required, Way::Plain, false),
            (Profile::OAUTH21, Pushing::Required, Way::Pushed, true),
        ] {
            let mut client = client();
            client.pushing = pushing;
            let read = read_by(&client, profile, way, &good());
            assert_eq!(read.is_ok(), ok, "{} {pushing:?} {way:?}", profile.name());
        }
    }

    #[test]
    fn the_answer_goes_after_the_redirect_uris_own_query() {
        let issuer = Issuer::parse_with("http://127.0.0.1:8080", Transport::LoopbackHttpToo).unwrap();
        let address = read(&good()).unwrap().return_address();
        assert_eq!(
            address.bringing("vac_x", &issuer).as_str(),
            "https://app.example/cb?x=1&code=vac_x&state=s&iss=http%3A%2F%2F127.0.0.1%3A8080"
        );
        let refused = address.refusing(&Denial::AccessDenied, &issuer);
        assert!(
            refused.as_str().starts_with("https://app.example/cb?x=1&error=access_denied&error_description=")
        );
    }
}
