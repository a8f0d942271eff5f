//! Pushed authorization requests ([RFC 9126]).
//!
//! [RFC 9126]: https://www.rfc-editor.org/rfc/rfc9126

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use serde::Serialize;
use vestibule_oauth_core::UnixTime;

use super::{Denied, Endpoint};
use crate::answer::{self, Answer};
use crate::authorization::{AuthorizationRequest, Rules, Way};
use crate::client_request::ClientRequest;
use crate::denial::Denial;
use crate::event::{Event, EventKind};
use crate::issue::Entropy;
use crate::store::{Ports, PushedRequest};
use crate::token::{OpaqueToken, TokenHash, TokenKind};

impl Endpoint {
    /// How long a browser may take to come with a pushed request, and its person to decide
    /// ([RFC 9126, section 2.2](https://www.rfc-editor.org/rfc/rfc9126#section-2.2); FAPI 2.0 allows 600 seconds).
    pub const PUSHED_LIFETIME: Duration = Duration::from_secs(600);

    /// Answers a pushed authorization request.
    pub async fn push(
        &self,
        request: &Request<Bytes>,
        entropy: &Entropy,
        now: UnixTime,
        ports: Ports<'_>,
    ) -> Answer {
        let outcome = self.keep_pushed(request, entropy, now, ports).await;
        self.answer(request, outcome, now)
    }

    async fn keep_pushed(
        &self,
        request: &Request<Bytes>,
        entropy: &Entropy,
        now: UnixTime,
        ports: Ports<'_>,
    ) -> Result<(Response<Bytes>, Vec<Event>), Denied> {
        let form = ClientRequest::parse(request)?;
        let target = self.targets().pushed_authorization.as_ref();
        let mut caller = self.caller_once(&form, target, now, ports).await?;
        let mut events = std::mem::take(&mut caller.events);
        let denied = |denial, events| Denied { events, ..Denied::by(&form, denial) };
        if form.value("request_uri").is_some() {
            return Err(denied(Denial::RequestUriPushed, events));
        }
        let rules = Rules { profile: self.profile(), scope: &self.setup().scope };
        let read = AuthorizationRequest::read(form.params(), caller.client(), &rules, Way::Pushed);
        let mut asked = match read {
            Ok(asked) => asked,
            // Here the client itself hears of everything.
            Err(error) => return Err(denied(error.denial().clone(), events)),
        };
        match (&asked.proof_key, caller.proof_key()) {
            (Some(named), Some(shown)) if named != shown => {
                return Err(denied(Denial::OtherProofKey, events));
            }
            // A proof here binds the code to its key (RFC 9449, section 10.1).
            (None, Some(shown)) => asked.proof_key = Some(shown.clone()),
            _ => {}
        }
        if self.profile().is_atproto() {
            asked.client_key = caller.client_key().cloned();
        }
        let name = OpaqueToken::from_entropy(TokenKind::Request, entropy.first());
        let expires_at = now.after(Self::PUSHED_LIFETIME);
        let kept = PushedRequest { name: name.hash(), request: asked, expires_at };
        if let Err(error) = ports.store.push(kept).await {
            return Err(denied(error.into(), events));
        }
        events.push(Event::new(EventKind::Pushed).of_client(&caller.client().id));

        #[derive(Serialize)]
        struct Body<'a> {
            request_uri: &'a str,
            expires_in: u64,
        }
        let request_uri = format!("{REQUEST_URI}{}", name.text().expose());
        let body = Body { request_uri: &request_uri, expires_in: Self::PUSHED_LIFETIME.as_secs() };
        Ok((answer::json(StatusCode::CREATED, &body), events))
    }
}

/// The name of a pushed request in a `request_uri`; `None` for what this server has never given out.
pub(crate) fn name_of(request_uri: &str) -> Option<TokenHash> {
    let name = request_uri.strip_prefix(REQUEST_URI)?;
    OpaqueToken::parse(TokenKind::Request, name).map(|name| name.hash())
}

/// [RFC 9126, section 2.2](https://www.rfc-editor.org/rfc/rfc9126#section-2.2).
pub(crate) const REQUEST_URI: &str = "urn:ietf:params:oauth:request_uri:";
