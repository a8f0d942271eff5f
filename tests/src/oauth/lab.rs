//! The pure crate, in this process: a store in memory, a clock that stands still until it is moved, and no socket.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use url::Url;
use vestibule_dpop::{NonceIssuer, NonceKeys};
use vestibule_oauth_core::{BoxFuture, Secret, StoreUnavailable, UnixTime};
use vestibule_token_endpoint::{
    Answer, AuthorizationError, Client, Clients, Consent, Denial, Endpoint, EndpointKeys, EndpointSetup,
    EndpointUrls, Entropy, Event, GrantType, JwtBearer, Pepper, Ports, Profile, Store, TokenExchange,
    TokenKey, UserCode,
};

use super::ask::Ask;
use super::flaky::{Flaky, Turns};
use super::ground::{Arrived, At, Ground};
use super::keys::{Key, fresh};
use super::reply::Reply;
use super::roster;
use crate::fixed::NOW;

/// An [`Endpoint`] with everything it needs.
#[derive(Debug)]
pub struct Lab {
    endpoint: Endpoint,
    clients: Known,
    store: Flaky,
    clock: AtomicU64,
    events: Mutex<Vec<Event>>,
}

#[derive(Debug)]
struct Known(Mutex<BTreeMap<String, Arc<Client>>>);

impl Clients for Known {
    fn client<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Arc<Client>>, StoreUnavailable>> {
        let client = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        Box::pin(std::future::ready(Ok(client)))
    }
}

/// The person who is signed in.
pub const ALICE: &str = "did:plc:alice";

const ISSUER: &str = "https://as.test";

/// Made once: each of them has keys.
static ROSTER: LazyLock<BTreeMap<String, Arc<Client>>> = LazyLock::new(|| {
    roster::clients().into_iter().map(|client| (client.id.to_string(), Arc::new(client))).collect()
});

static KEYS: LazyLock<EndpointKeys> = LazyLock::new(|| Lab::keys(1));

impl Lab {
    /// One that runs OAuth 2.1.
    pub fn new() -> Self {
        Self::of(Profile::OAUTH21)
    }

    /// One that runs this profile.
    pub fn of(profile: Profile) -> Self {
        Self::set_up(|setup| setup.profile = profile)
    }

    /// One with other settings.
    ///
    /// # Panics
    /// When they contradict each other.
    pub fn set_up(change: impl FnOnce(&mut EndpointSetup)) -> Self {
        let url = |path: &str| Url::parse(&format!("{ISSUER}{path}")).expect("a URL");
        let mut urls = EndpointUrls::new(url("/oauth2/token"));
        urls.authorization = Some(url("/oauth2/authorize"));
        urls.pushed_authorization = Some(url("/oauth2/par"));
        urls.introspection = Some(url("/oauth2/introspect"));
        urls.revocation = Some(url("/oauth2/revoke"));
        urls.device_authorization = Some(url("/oauth2/device_authorization"));
        urls.device_verification = Some(url("/oauth2/device"));
        urls.jwks = Some(url("/oauth2/jwks.json"));
        let mut setup = EndpointSetup::new(ISSUER.parse().expect("an issuer"), urls);
        setup.scope = "read write profile".parse().expect("a scope");
        setup.grant_types.insert(GrantType::DEVICE_CODE);
        setup.extensions = vec![Arc::new(TokenExchange::new()), Arc::new(JwtBearer::new())];
        change(&mut setup);
        let endpoint = Endpoint::new(setup, KEYS.clone()).expect("settings");
        Self {
            endpoint,
            clients: Known(Mutex::new(ROSTER.clone())),
            store: Flaky::new(),
            clock: AtomicU64::new(NOW.as_secs()),
            events: Mutex::default(),
        }
    }

    /// Keys of a server; others for another number.
    pub fn keys(number: u8) -> EndpointKeys {
        let nonces = Self::nonces(number);
        let pepper = Pepper::new(format!("pepper-{number}"), &Secret::new([number; 32]));
        let key = TokenKey::new(format!("token-{number}"), Key(200 + number).signer());
        EndpointKeys::new(vec![key], vec![pepper], nonces)
    }

    /// Who makes the nonces of a server with these keys.
    pub fn nonces(number: u8) -> NonceIssuer {
        NonceIssuer::new(NonceKeys::new(Secret::new([number; 32])))
    }

    /// The endpoint.
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Its ports.
    pub const fn ports(&self) -> Ports<'_> {
        Ports { clients: &self.clients, store: &self.store }
    }

    /// Moves the clock on.
    pub fn later(&self, span: Duration) {
        self.clock.fetch_add(span.as_secs(), Ordering::SeqCst);
    }

    /// Moves the clock back.
    pub fn earlier(&self, span: Duration) {
        self.clock.fetch_sub(span.as_secs(), Ordering::SeqCst);
    }

    /// From now on so many acts of the store go through, and then none.
    pub fn fail_after(&self, acts: u32) {
        self.store.fail_after(acts);
    }

    /// The store works again.
    pub fn mend(&self) {
        self.store.fail_after(u32::MAX);
    }

    /// Sends these requests at once, and gives the answers as they come, with the number of the request. Whoever is next goes on as far as to the next act of the
    /// store: `turns` says who, by their number among those that are not answered yet, and when it has no more to say, each in its
    /// turn.
    pub fn race(&self, asks: Vec<Ask>, turns: impl IntoIterator<Item = usize>) -> Vec<(usize, Reply)> {
        self.store.take_turns(Turns::Taken);
        let mut waiting: Vec<_> = asks.into_iter().map(|ask| self.exchange(ask)).enumerate().collect();
        let mut replies: Vec<(usize, Reply)> = Vec::new();
        let mut turns = turns.into_iter().chain(0..);
        while let Some(turn) = turns.next().filter(|_| !waiting.is_empty()) {
            let next = turn % waiting.len();
            let (number, future) = &mut waiting[next];
            if let Poll::Ready(reply) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                replies.push((*number, reply));
                drop(waiting.remove(next));
            }
        }
        self.store.take_turns(Turns::NotTaken);
        replies
    }

    /// Changes a client.
    ///
    /// # Panics
    /// When there is none of this name.
    pub fn change(&self, id: &str, change: impl FnOnce(&mut Client)) {
        let mut clients = self.clients.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(clients.get_mut(id).expect("a client of the roster")));
    }

    /// Lets a client be known by another name as well.
    ///
    /// # Panics
    /// When there is none of this name.
    pub fn add(&self, id: &str, other: &str) {
        let mut clients = self.clients.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut client = Client::clone(clients.get(id).expect("a client of the roster"));
        client.id = other.parse().expect("a client id");
        clients.insert(other.to_owned(), Arc::new(client));
    }

    /// What happened since this was asked last.
    pub fn events(&self) -> Vec<Event> {
        std::mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The person answers for the device that shows this code.
    ///
    /// # Errors
    /// As [`Endpoint::decide_device`].
    ///
    /// # Panics
    /// When the code is none.
    pub async fn decide_device(&self, user_code: &str, allow: bool) -> Result<(), Denial> {
        let code: UserCode = user_code.parse().expect("a user code");
        let shown = self.store.device_showing(code.hash()).await?;
        let scope = shown.map(|shown| shown.device.scope.to_string()).unwrap_or_default();
        let consent = allow.then(|| self.consent(&scope));
        self.endpoint.decide_device(&code, consent, &Entropy::new(fresh()), self.now(), self.ports()).await
    }

    fn consent(&self, scope: &str) -> Consent {
        Consent::new(ALICE, scope.parse().expect("a scope"), self.now())
    }

    fn tell(&self, events: impl IntoIterator<Item = Event>) {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).extend(events);
    }

    async fn answer(&self, ask: Ask) -> Reply {
        let (request, now, ports) = (ask.into_request(), self.now(), self.ports());
        let (endpoint, entropy) = (&self.endpoint, Entropy::new(fresh()));
        let Answer { response, events, .. } = match request.uri().path() {
            "/oauth2/token" => endpoint.token(&request, &entropy, now, ports).await,
            "/oauth2/par" => endpoint.push(&request, &entropy, now, ports).await,
            "/oauth2/revoke" => endpoint.revoke(&request, now, ports).await,
            "/oauth2/introspect" => endpoint.introspect(&request, now, ports).await,
            "/oauth2/device_authorization" => endpoint.authorize_device(&request, &entropy, now, ports).await,
            other => panic!("there is no endpoint at {other}"),
        };
        self.tell(events);
        response.into()
    }

    async fn arrive(&self, query: String) -> Arrived {
        let (entropy, now, ports) = (Entropy::new(fresh()), self.now(), self.ports());
        let page = |denial: &Denial| {
            let row = denial.row();
            let json = serde_json::json!({ "error": row.code.as_str() });
            let mut response = http::Response::new(json.to_string().into());
            *response.status_mut() = row.status;
            Arrived::Page(response.into())
        };
        match self.endpoint.read_authorization(query.as_bytes(), &entropy, now, ports).await {
            Err(AuthorizationError::Client(denial, address)) => {
                Arrived::Back(address.refusing(&denial, self.endpoint.issuer()))
            }
            Err(error) => page(error.denial()),
            Ok(authorization) => {
                let scope = authorization.request.scope.to_string();
                let consent = self.consent(&scope);
                let issued = self
                    .endpoint
                    .issue_code(&authorization, consent, &Entropy::new(fresh()), now, ports)
                    .await;
                match issued {
                    Ok(redirect) => {
                        self.tell(redirect.events);
                        Arrived::Back(redirect.location)
                    }
                    Err(denial) => page(&denial),
                }
            }
        }
    }
}

impl Default for Lab {
    fn default() -> Self {
        Self::new()
    }
}

impl Ground for Lab {
    fn issuer(&self) -> String {
        ISSUER.to_owned()
    }

    fn url(&self, at: At) -> String {
        let path = match at {
            At::Token => "token",
            At::Par => "par",
            At::Revoke => "revoke",
            At::Introspect => "introspect",
            At::Device => "device_authorization",
        };
        format!("{ISSUER}/oauth2/{path}")
    }

    fn now(&self) -> UnixTime {
        UnixTime::from_secs(self.clock.load(Ordering::SeqCst))
    }

    fn exchange(&self, ask: Ask) -> BoxFuture<'_, Reply> {
        Box::pin(self.answer(ask))
    }

    fn authorize(&self, query: String) -> BoxFuture<'_, Arrived> {
        Box::pin(self.arrive(query))
    }
}
