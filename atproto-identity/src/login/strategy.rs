//! The AT Protocol as a strategy: from a handle to a session.

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use serde::{Deserialize, Serialize};
use url::Url;
use vestibule_dpop::{Es256Secret, NonceMemory, ProofKey};
use vestibule_oauth_core::{BoxFuture, HttpClient, Secret, Trust, UnixTime, base64url};
use vestibule_strategy::token::code_form;
use vestibule_strategy::{
    Auth, Backchannel, Begin, CallbackCx, ClientAuth, FailureKind, Fault, IssuerPolicy, PushRequest, Pushed,
    RequestCx, ResponseMode, Stash, Strategy, TokenAnswer,
};
use zeroize::Zeroize;

use super::client::AtprotoClient;
use super::directory::Directory;
use super::fault;
use super::revocation::Revocation;
use super::session::{ClientKey, SessionId, SessionKey, SessionRecord};
use super::sessions::Sessions;
use super::tokens;
use crate::discover::Discovered;
use crate::{AtIdentifier, Did, Handle, Identity, LoginInput, ServerOrigin};

/// Sign-in with an AT Protocol handle, DID or server.
///
/// The request phase finds out who that is (DNS, HTTPS, the DID document, the authorization server) and pushes the
/// request. The callback phase exchanges the code, makes sure that the account is the one that was named, and keeps the
/// session in [`Sessions`]; [`session_of`] finds it again from the [`Auth`].
#[derive(Debug)]
pub struct AtprotoStrategy {
    client: Arc<AtprotoClient>,
    directory: Arc<Directory>,
    sessions: Arc<Sessions>,
    handle_suffix: Option<String>,
}

impl AtprotoStrategy {
    /// What this strategy calls itself in an [`Auth`].
    pub const KIND: &'static str = "atproto";

    /// Sign-in to `client`, whose sessions are kept in `sessions`.
    pub const fn new(client: Arc<AtprotoClient>, directory: Arc<Directory>, sessions: Arc<Sessions>) -> Self {
        Self { client, directory, sessions, handle_suffix: None }
    }

    /// The same, completing a handle without a dot: `alice` becomes `alice.<suffix>`.
    #[must_use]
    pub fn with_handle_suffix(mut self, suffix: Option<String>) -> Self {
        self.handle_suffix = suffix;
        self
    }

    /// Finds out whom the person means and which server signs them in.
    async fn find(&self, typed: &str, now: UnixTime, http: &dyn HttpClient) -> Result<Found, Fault> {
        let development = self.directory.development();
        let input = LoginInput::parse(typed, self.handle_suffix.as_deref(), development);
        match input.map_err(|error| fault::of_input(&error))? {
            LoginInput::Identity(subject) => {
                let identity = self.directory.identity(&subject, now, http).await;
                let identity = identity.map_err(|error| fault::of_resolve(&error))?;
                let discovered = self.directory.server_of(&identity.pds, now, http).await;
                let discovered = discovered.map_err(|error| fault::of_discover(&error))?;
                Ok(Found { hint: Some(subject.as_str().to_owned()), identity: Some(identity), discovered })
            }
            LoginInput::Server(server) => {
                let discovered = self.directory.server_at(&server, now, http).await;
                let discovered = discovered.map_err(|error| fault::of_discover(&error))?;
                Ok(Found { hint: None, identity: None, discovered })
            }
        }
    }

    async fn request_phase(&self, cx: RequestCx<'_>, http: &dyn HttpClient) -> Result<Begin, Fault> {
        let typed = cx.param("handle").unwrap_or_default();
        if typed.trim().is_empty() {
            return Err(Fault::new(FailureKind::MissingHandle, "the parameter handle is missing"));
        }
        let found = self.find(typed, cx.now, http).await?;
        let server = &found.discovered.server;

        let secret = Es256Secret::from_entropy(cx.seed.derive("dpop key"));
        let dpop_key = secret.expose();
        let key = ProofKey::from_secret(secret);
        let (auth, client_key) = self.client.auth_for_new_sessions(cx.now);
        let issuer = server.issuer.as_str();
        let channel =
            Backchannel::new(issuer, self.client.id(), &auth, Trust::UserSupplied).with_proof_key(&key);

        let push_endpoint = &server.pushed_authorization_request_endpoint;
        let scope = self.client.scope().to_string();
        let push = PushRequest::new(cx.redirect_uri, cx.state, cx.pkce, &scope)
            .with_login_hint(found.hint.as_deref());
        let form = push.form(push_endpoint);
        let mut nonces = self.directory.nonces_for(&[push_endpoint, &server.token_endpoint], cx.now);
        let answered = channel.post(&form, &mut nonces, &cx.seed.child("push"), cx.now, http).await;
        let response = answered.map_err(|error| fault::of_post("pushed authorization request", &error))?;
        let pushed = Pushed::read(&response).map_err(fault::of_push)?;
        gives_nonce(&response)?;
        self.directory.learned(push_endpoint, &nonces, cx.now);

        let mut remembered = Remembered {
            account: found.identity.as_ref().map(Account::of),
            issuer: issuer.to_owned(),
            token_endpoint: server.token_endpoint.clone(),
            revocation_endpoint: server.revocation_endpoint.clone(),
            dpop_key: base64url::encode(dpop_key.expose()),
            client_key,
            nonces,
        };
        let stash = Stash::write(&remembered);
        remembered.dpop_key.zeroize();
        Ok(Begin::Redirect {
            to: pushed.authorization_url(&server.authorization_endpoint, self.client.id()),
            stash: stash.map_err(|_| {
                let detail = "the authorization server's endpoints are too long to be remembered";
                Fault::new(FailureKind::BadResponse, detail)
            })?,
            mode: ResponseMode::Query,
        })
    }

    async fn callback_phase(&self, cx: CallbackCx<'_>, http: &dyn HttpClient) -> Result<Auth, Fault> {
        let mut login = Resumed::read(&cx, &self.client)?;
        let form = code_form(&login.remembered.token_endpoint, cx.code()?, cx.redirect_uri, cx.verifier);
        let mut nonces = std::mem::take(&mut login.nonces);
        let channel = login.channel(&self.client);
        let answered = channel.post(&form, &mut nonces, &cx.seed.child("exchange"), cx.now, http).await;
        self.directory.learned(&login.remembered.token_endpoint, &nonces, cx.now);
        let response = answered.map_err(|error| fault::of_post("token exchange", &error))?;
        let answer = TokenAnswer::read(&response).map_err(fault::of_token)?;

        // From here on tokens are out there: whatever fails gives them back (R81).
        let kept = match gives_nonce(&response) {
            Ok(()) => self.keep(&answer, &login, nonces.clone(), &cx, http).await,
            Err(fault) => Err(fault),
        };
        match kept {
            Ok(auth) => Ok(auth),
            Err(fault) => {
                let revocation = Revocation {
                    channel,
                    endpoint: login.remembered.revocation_endpoint.as_ref(),
                    access_token: &answer.access_token,
                    refresh_token: answer.refresh_token.as_ref(),
                };
                revocation.send(&mut nonces, cx.seed, cx.now, http).await;
                Err(fault)
            }
        }
    }

    /// Makes sure of the account, and keeps the session.
    async fn keep(
        &self,
        answer: &TokenAnswer,
        login: &Resumed,
        nonces: NonceMemory,
        cx: &CallbackCx<'_>,
        http: &dyn HttpClient,
    ) -> Result<Auth, Fault> {
        let (did, scope) = tokens::read(answer, self.directory.development())?;
        let account = self.account(did, &login.remembered, cx.now, http).await?;
        let remembered = &login.remembered;
        let record = SessionRecord {
            key: SessionKey::new(account.did, SessionId::from_entropy(cx.seed.derive_id("session id"))),
            handle: account.handle,
            issuer: remembered.issuer.clone(),
            token_endpoint: remembered.token_endpoint.clone(),
            revocation_endpoint: remembered.revocation_endpoint.clone(),
            pds: account.pds,
            client_id: self.client.id().to_owned(),
            client_key: login.client_key.clone(),
            scope,
            dpop_key: login.dpop_key.clone(),
            access_token: answer.access_token.clone(),
            refresh_token: answer.refresh_token.clone(),
            issued_at: cx.now,
            expires_at: answer.expires_in.map(|span| cx.now.after(span)),
            generation: 0,
        };
        let inserted = self.sessions.insert(&record, nonces).await;
        inserted.map_err(|error| Fault::new(FailureKind::SessionStoreFailed, error.to_string()))?;
        Ok(auth_of(&record, cx))
    }

    /// Whose tokens may be kept: the account the login was begun for (R77), or, when only a server was named, one that the
    /// server rules (R78).
    async fn account(
        &self,
        did: Did,
        remembered: &Remembered,
        now: UnixTime,
        http: &dyn HttpClient,
    ) -> Result<Account, Fault> {
        if let Some(begun_for) = &remembered.account {
            if did != begun_for.did {
                let detail = format!("the login was begun for {}, the tokens are {did}'s", begun_for.did);
                return Err(Fault::new(FailureKind::AccountMismatch, detail));
            }
            return Ok(begun_for.clone());
        }
        let identity = self.directory.identity_afresh(&AtIdentifier::Did(did), now, http).await;
        let identity = identity.map_err(|error| fault::of_resolve(&error))?;
        let ruled_by = self.directory.server_of(&identity.pds, now, http).await;
        let ruled_by = ruled_by.map_err(|error| fault::of_discover(&error))?;
        if ruled_by.issuer().as_str() != remembered.issuer {
            let detail = format!(
                "the login was begun at {}, and {} is ruled by {}",
                remembered.issuer,
                identity.did,
                ruled_by.issuer()
            );
            return Err(Fault::new(FailureKind::AccountIssuerMismatch, detail));
        }
        Ok(Account::of(&identity))
    }
}

impl Strategy for AtprotoStrategy {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn issuer(&self, stash: &Stash) -> IssuerPolicy {
        #[derive(Deserialize)]
        struct Named {
            issuer: String,
        }
        // A stash that cannot be read fits no issuer; the callback phase says so.
        IssuerPolicy::Exact(stash.read::<Named>().map(|named| named.issuer).unwrap_or_default())
    }

    fn allowed_params(&self) -> &'static [&'static str] {
        &["handle"]
    }

    fn request<'a>(
        &'a self,
        cx: RequestCx<'a>,
        http: &'a dyn HttpClient,
    ) -> BoxFuture<'a, Result<Begin, Fault>> {
        Box::pin(self.request_phase(cx, http))
    }

    fn callback<'a>(
        &'a self,
        cx: CallbackCx<'a>,
        http: &'a dyn HttpClient,
    ) -> BoxFuture<'a, Result<Auth, Fault>> {
        Box::pin(self.callback_phase(cx, http))
    }
}

/// A server that keeps the rules gives a nonce with every answer to a proof (R93). In a login one that does not is refused;
/// in a session that lives it is borne.
fn gives_nonce(response: &Response<Bytes>) -> Result<(), Fault> {
    if response.headers().contains_key("dpop-nonce") {
        return Ok(());
    }
    let detail = "the authorization server answered a proof without DPoP-Nonce";
    Err(Fault::new(FailureKind::DpopNonceMissing, detail))
}

/// The session that a sign-in by this strategy left behind; `None` for the [`Auth`] of another strategy.
pub fn session_of(auth: &Auth) -> Option<SessionKey> {
    let id = auth.credentials.other.get(SESSION)?.expose().parse().ok()?;
    Some(SessionKey::new(auth.uid.parse().ok()?, id))
}

/// The name of the session id among an [`Auth`]'s other credentials.
const SESSION: &str = "session";

/// What is told about the person. The tokens stay in the session.
fn auth_of(record: &SessionRecord, cx: &CallbackCx<'_>) -> Auth {
    let did = record.key.did().to_string();
    let shown = record.handle.as_ref().map_or_else(|| did.clone(), Handle::to_string);
    let mut auth = Auth::new(did.clone(), cx.provider.clone(), AtprotoStrategy::KIND);
    auth.info.name = Some(shown);
    auth.info.nickname = record.handle.as_ref().map(Handle::to_string);
    auth.credentials.token_type = Some("DPoP".to_owned());
    auth.credentials.scopes = record.scope.clone();
    auth.credentials.expires_at = record.expires_at;
    auth.credentials.other.insert(SESSION.to_owned(), Secret::new(record.key.id().to_string()));
    let raw = [("did", did), ("pds", record.pds.to_string()), ("issuer", record.issuer.clone())];
    auth.extra.raw.extend(raw.map(|(name, value)| (name.to_owned(), value.into())));
    auth
}

/// Whom a person means, and who signs them in.
struct Found {
    hint: Option<String>,
    identity: Option<Identity>,
    discovered: Discovered,
}

/// What the callback phase needs to know of the request phase.
#[derive(Serialize, Deserialize)]
struct Remembered {
    account: Option<Account>,
    issuer: String,
    token_endpoint: Url,
    revocation_endpoint: Option<Url>,
    dpop_key: String,
    client_key: Option<ClientKey>,
    nonces: NonceMemory,
}

/// The account a login is for.
#[derive(Clone, Serialize, Deserialize)]
struct Account {
    did: Did,
    handle: Option<Handle>,
    pds: ServerOrigin,
}

impl Account {
    fn of(identity: &Identity) -> Self {
        Self { did: identity.did.clone(), handle: identity.handle.clone(), pds: identity.pds.clone() }
    }
}

/// A login that the person has come back from.
struct Resumed {
    remembered: Remembered,
    key: ProofKey,
    dpop_key: Secret<[u8; 32]>,
    client_key: Option<ClientKey>,
    auth: ClientAuth,
    nonces: NonceMemory,
}

impl Resumed {
    fn read(cx: &CallbackCx<'_>, client: &AtprotoClient) -> Result<Self, Fault> {
        let misconfigured = |detail: &str| Fault::new(FailureKind::Misconfigured, detail);
        let mut remembered: Remembered = cx.stash.read()?;
        let octets = base64url::decode_array::<32>(&remembered.dpop_key).map(Secret::new);
        remembered.dpop_key.zeroize();
        let dpop_key = octets.ok_or_else(|| misconfigured("the key of the login cannot be read"))?;
        let secret = Es256Secret::from_bytes(dpop_key.expose());
        let secret = secret.map_err(|_| misconfigured("the key of the login is not a P-256 key"))?;
        let auth = client.auth_for(remembered.client_key.as_ref());
        let auth = auth.ok_or_else(|| misconfigured("the client key the login was begun with is gone"))?;
        Ok(Self {
            client_key: remembered.client_key.take(),
            nonces: std::mem::take(&mut remembered.nonces),
            key: ProofKey::from_secret(secret),
            remembered,
            dpop_key,
            auth,
        })
    }

    fn channel<'a>(&'a self, client: &'a AtprotoClient) -> Backchannel<'a> {
        Backchannel::new(&self.remembered.issuer, client.id(), &self.auth, Trust::UserSupplied)
            .with_proof_key(&self.key)
    }
}
