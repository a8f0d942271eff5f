//! The test stand: an application with one browser, the strategy, and the wire to its provider.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method};
use url::Url;
use vestibule_oauth_core::UnixTime;
use vestibule_oauth_core::seal::SealKeys;

use super::SITE;
use super::flows::Flows;
use super::person::is_sound;
use super::watched::Watched;
use super::wire::{Mishap, Target, Wire};
use crate::auth::Auth;
use crate::engine::{Begun, Engine, FlowKeeping, Incoming};
use crate::failure::Failure;
use crate::pending::Intent;
use crate::provider::Provider;
use crate::provider_id::ProviderId;
use crate::strategy::Strategy;
use crate::testing::broken::{Broken, hold};
use crate::testing::call::Call;
use crate::testing::callback_query::CallbackQuery;
use crate::testing::counterpart::Counterpart;
use crate::testing::fixed::{NOW, run, seed};

/// Where flows wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Keeping {
    Cookie,
    Store,
}

pub(super) struct Stand<'a> {
    with_cookies: Engine,
    with_store: Engine,
    pub(super) strategy: Arc<Watched>,
    pub(super) wire: Wire<'a>,
    pub(super) counterpart: &'a dyn Counterpart,
    /// Where the flows of the next login wait.
    pub(super) keeping: Keeping,
    /// The provider under test.
    pub(super) provider: ProviderId,
    /// The same strategy, under another name.
    pub(super) another: ProviderId,
    pub(super) now: UnixTime,
    seeds: u64,
}

/// A login that is under way.
pub(super) struct Started {
    /// Where the person was sent.
    pub(super) to: Url,
    /// What the browser sends along from here on.
    pub(super) headers: HeaderMap,
}

/// From one login to the next: longer than any strategy keeps what it has fetched.
const BETWEEN: Duration = Duration::from_secs(7 * 24 * 3600);

impl<'a> Stand<'a> {
    pub(super) fn new(strategy: Arc<dyn Strategy>, counterpart: &'a dyn Counterpart) -> Result<Self, Broken> {
        let own = |error: &dyn std::fmt::Display| Broken::new("the test stand can be built", error);
        let name = |text: &str| text.parse::<ProviderId>().map_err(|error| own(&error));
        let (provider, another) = (name("under-test")?, name("another")?);
        let strategy = Arc::new(Watched::new(strategy));
        let site = Url::parse(SITE).map_err(|error| own(&error))?;
        let engine = |keeping| {
            [&provider, &another]
                .into_iter()
                .fold(Engine::builder(site.clone(), &SealKeys::new([7; 32], []), keeping), |engine, name| {
                    engine.provider(Provider::new(name.clone(), Arc::clone(&strategy) as Arc<dyn Strategy>))
                })
                .build()
                .map_err(|error| own(&error))
        };
        Ok(Self {
            with_cookies: engine(FlowKeeping::Cookie)?,
            with_store: engine(FlowKeeping::Store(Arc::new(Flows::default())))?,
            strategy,
            wire: Wire::to(counterpart),
            counterpart,
            keeping: Keeping::Cookie,
            provider,
            another,
            now: NOW,
            seeds: 0,
        })
    }

    fn engine(&self) -> &Engine {
        match self.keeping {
            Keeping::Cookie => &self.with_cookies,
            Keeping::Store => &self.with_store,
        }
    }

    /// Some days later, nothing is on the wire, and this will go wrong.
    pub(super) fn next_login(&mut self, mishap: Option<(Target, Mishap)>) {
        self.now = self.now.after(BETWEEN);
        self.counterpart.at(self.now);
        self.wire.clear(mishap);
    }

    /// The number of a seed that was not used yet.
    pub(super) fn next_seed(&mut self) -> u64 {
        self.seeds += 1;
        self.seeds
    }

    /// The request phase, with what the person asks and with `more`.
    pub(super) fn begin(&mut self, more: &str) -> Result<Result<Started, Failure>, Broken> {
        let number = self.next_seed();
        self.begin_by(number, more)
    }

    /// The same with the seed of this number.
    pub(super) fn begin_by(&mut self, number: u64, more: &str) -> Result<Result<Started, Failure>, Broken> {
        let asked = self.counterpart.asked_with();
        let query = [asked.as_str(), more].join("&");
        let headers = HeaderMap::new();
        let incoming = Incoming::new(&Method::GET, &headers, query.as_bytes());
        let begun =
            self.engine().begin(&self.provider, incoming, Intent::SignIn, seed(number), self.now, &self.wire);
        match run(begun)? {
            Ok(Begun::Redirect { to, set_cookies }) => {
                let set = set_cookies.first().and_then(|value| value.to_str().ok()).unwrap_or_default();
                let cookie = set.split(';').next().unwrap_or_default();
                Ok(Ok(Started { to, headers: cookie_headers(cookie)? }))
            }
            Ok(Begun::PassThrough) => Err(Broken::new(
                "a strategy that is guarded by the flow's cookie sends people to their provider",
                "it leaves the page to the application",
            )),
            Err(failure) => {
                self.shows_no_secret(&failure, None)?;
                Ok(Err(failure))
            }
        }
    }

    /// A login that begins as it should.
    pub(super) fn start(&mut self) -> Result<Started, Broken> {
        self.next_login(None);
        self.begin("")?.map_err(|failure| Broken::new("a good login begins", failure))
    }

    /// The callback phase.
    pub(super) fn finish(
        &mut self,
        provider: &ProviderId,
        headers: &HeaderMap,
        query: &CallbackQuery,
        now: UnixTime,
    ) -> Result<Result<Auth, Failure>, Broken> {
        self.arrive(provider, headers, &query.method(), &query.encoded(), query.value("code"), now)
    }

    /// The same with a request as it comes.
    pub(super) fn arrive(
        &mut self,
        provider: &ProviderId,
        headers: &HeaderMap,
        method: &Method,
        encoded: &str,
        code: Option<&str>,
        now: UnixTime,
    ) -> Result<Result<Auth, Failure>, Broken> {
        let incoming = Incoming::new(method, headers, encoded.as_bytes());
        let seed = seed(self.next_seed());
        let finished = run(self.engine().finish(provider, incoming, seed, now, &self.wire))?;
        match &finished.outcome {
            Err(failure) => self.shows_no_secret(failure, code)?,
            Ok(auth) => is_sound(self, provider, auth, code)?,
        }
        Ok(finished.outcome)
    }

    /// Every text that nobody may be shown, with what it is.
    pub(super) fn secrets(&self, code: Option<&str>) -> Vec<(&'static str, String)> {
        let seen = self.strategy.seen();
        let mut secrets = vec![("state", seen.state)];
        secrets.extend(seen.verifier.map(|verifier| ("code_verifier", verifier)));
        secrets.extend(code.map(|code| ("code", code.to_owned())));
        secrets.extend(
            self.counterpart.secrets().into_iter().map(|secret| ("a secret of the provider's", secret)),
        );
        for call in self.wire.calls() {
            let field = call.header("authorization").and_then(|field| field.split_once(' '));
            secrets.extend(field.map(|(_, text)| ("the Authorization header field", text.to_owned())));
            secrets.extend(call.header("dpop").map(|proof| ("a DPoP proof", proof.to_owned())));
            for (name, value) in call.fields() {
                if let Some(known) = SECRET_FIELDS.iter().find(|known| **known == name) {
                    secrets.push((*known, value));
                }
            }
        }
        // What is shorter stands in any text by chance.
        secrets.retain(|(_, secret)| secret.len() >= SHORTEST_SECRET);
        secrets
    }

    fn shows_no_secret(&self, failure: &Failure, code: Option<&str>) -> Result<(), Broken> {
        let more: Vec<_> = failure.errors().map(|(code, sentence)| format!("{code} {sentence}")).collect();
        let shown = format!("{failure} {failure:?} {} {}", failure.for_person(), more.join(" "));
        let held = self.secrets(code).into_iter().find(|(_, secret)| shown.contains(secret.as_str()));
        hold("no failure shows a secret", held.is_none(), || {
            let what = held.as_ref().map_or("", |(what, _)| *what);
            format!("{what} in: {failure}")
        })
    }

    /// Holds every call on the wire to its limits.
    pub(super) fn calls_are_limited(&self) -> Result<(), Broken> {
        for call in self.wire.calls() {
            let Call { method, url, timeout, body_limit, .. } = &call;
            let in_time = !timeout.is_zero() && *timeout <= LONGEST_CALL;
            hold("every call has a time limit that a person waits for", in_time, || {
                format!("{method} {url} may take {timeout:?}")
            })?;
            let bounded = (1..=LARGEST_ANSWER).contains(body_limit);
            hold("every call has a limit on the octets of its answer", bounded, || {
                format!("{method} {url} may answer with {body_limit} octets")
            })?;
        }
        Ok(())
    }
}

/// The headers of a browser that has this cookie.
pub(super) fn cookie_headers(cookie: &str) -> Result<HeaderMap, Broken> {
    let value = HeaderValue::try_from(cookie)
        .map_err(|error| Broken::new("the flow's cookie fits a header field", error))?;
    let mut headers = HeaderMap::new();
    headers.insert(http::header::COOKIE, value);
    Ok(headers)
}

/// The fields of forms whose values are nobody else's.
const SECRET_FIELDS: [&str; 8] = [
    "code",
    "code_verifier",
    "client_secret",
    "client_assertion",
    "password",
    "refresh_token",
    "subject_token",
    "token",
];

/// The shortest text that is looked for, in characters.
const SHORTEST_SECRET: usize = 6;

/// The most time that one call may take. A person waits no longer, and most servers in front of an application do not either.
const LONGEST_CALL: Duration = Duration::from_secs(60);

/// The most octets of an answer: more than any document of these protocols has (S8).
const LARGEST_ANSWER: usize = 1024 * 1024;
