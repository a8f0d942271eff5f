//! Device authorization requests ([RFC 8628, section 3.1]).
//!
//! [RFC 8628, section 3.1]: https://www.rfc-editor.org/rfc/rfc8628#section-3.1

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use serde::Serialize;
use vestibule_oauth_core::{ScopeSet, UnixTime};

use super::{Denied, Endpoint};
use crate::answer::{self, Answer};
use crate::authorization::Rules;
use crate::client_request::ClientRequest;
use crate::denial::Denial;
use crate::device::{Device, INTERVAL, LIFETIME, UserCode};
use crate::event::{Event, EventKind};
use crate::grant::{Grant, GrantId};
use crate::grant_type::GrantType;
use crate::issue::Entropy;
use crate::store::{Decided, DeviceBegun, DeviceDecision, Ports};
use crate::target;
use crate::token::{OpaqueToken, TokenKind};

impl Endpoint {
    /// Answers a device authorization request.
    pub async fn authorize_device(
        &self,
        request: &Request<Bytes>,
        entropy: &Entropy,
        now: UnixTime,
        ports: Ports<'_>,
    ) -> Answer {
        let outcome = self.begin_device(request, entropy, now, ports).await;
        self.answer(request, outcome, now)
    }

    async fn begin_device(
        &self,
        request: &Request<Bytes>,
        entropy: &Entropy,
        now: UnixTime,
        ports: Ports<'_>,
    ) -> Result<(Response<Bytes>, Vec<Event>), Denied> {
        let form = ClientRequest::parse(request)?;
        let target = self.targets().device_authorization.as_ref();
        let mut caller = self.caller_once(&form, target, now, ports).await?;
        let mut events = std::mem::take(&mut caller.events);
        let denied = |denial, events| Denied { events, ..Denied::by(&form, denial) };
        let client = caller.client();
        let verification = match &self.urls().device_verification {
            Some(url) if client.grant_types.contains(&GrantType::DEVICE_CODE) => url,
            _ => return Err(denied(Denial::GrantTypeNotRegistered, events)),
        };
        let scope: ScopeSet = match form.value("scope").unwrap_or_default().parse() {
            Ok(scope) => scope,
            Err(_) => return Err(denied(Denial::ScopeSyntax, events)),
        };
        let rules = Rules { profile: self.profile(), scope: &self.setup().scope };
        let resources = match target::read(form.params(), client) {
            Ok(resources) => resources,
            Err(denial) => return Err(denied(denial, events)),
        };
        let (code, shown) = (
            OpaqueToken::from_entropy(TokenKind::Device, entropy.first()),
            UserCode::from_entropy(entropy.short()),
        );
        let device = Device {
            hash: code.hash(),
            user_code: shown.hash(),
            client: client.id.clone(),
            scope: rules.known(&scope, client),
            resources,
            proof_key: caller.proof_key().cloned(),
            interval: INTERVAL,
            issued_at: now,
            expires_at: now.after(LIFETIME),
        };
        match ports.store.begin_device(device, now).await {
            Ok(DeviceBegun::Begun) => {}
            // One in ten thousand million, unless somebody fills the store: asking again draws another.
            Ok(DeviceBegun::CodeTaken) => return Err(denied(Denial::Full, events)),
            Err(error) => return Err(denied(error.into(), events)),
        }
        events.push(Event::new(EventKind::DeviceBegun).of_client(&client.id));

        #[derive(Serialize)]
        struct Body<'a> {
            device_code: &'a str,
            user_code: &'a str,
            verification_uri: &'a str,
            verification_uri_complete: &'a str,
            expires_in: u64,
            interval: u64,
        }
        let (code, shown) = (code.text(), shown.to_string());
        let mut complete = verification.clone();
        complete.query_pairs_mut().append_pair("user_code", &shown);
        let body = Body {
            device_code: code.expose(),
            user_code: &shown,
            verification_uri: verification.as_str(),
            verification_uri_complete: complete.as_str(),
            expires_in: LIFETIME.as_secs(),
            interval: INTERVAL.as_secs(),
        };
        Ok((answer::json(StatusCode::OK, &body), events))
    }

    /// Notes what the person decided about the device that shows this code: yes, with what they are and allow, or no.
    ///
    /// # Errors
    /// [`Denial::DeviceCodeUnknown`] if there is no such device, or somebody decided before; [`Denial::ScopeTooWide`];
    /// [`Denial::Unavailable`].
    pub async fn decide_device(
        &self,
        user_code: &UserCode,
        consent: Option<super::Consent>,
        entropy: &Entropy,
        now: UnixTime,
        ports: Ports<'_>,
    ) -> Result<(), Denial> {
        let stored = ports.store.device_showing(user_code.hash()).await?.ok_or(Denial::DeviceCodeUnknown)?;
        let device = stored.device;
        let decision = match consent {
            None => DeviceDecision::Deny,
            Some(consent) => {
                if !consent.scope.is_subset_of(&device.scope) {
                    return Err(Denial::ScopeTooWide);
                }
                let id = GrantId::from_entropy(entropy.id());
                let mut grant =
                    Grant::new(id, device.client, consent.subject, consent.scope, now, device.expires_at);
                grant.resources = device.resources;
                grant.proof_key = device.proof_key;
                grant.auth_time = Some(consent.auth_time);
                grant.context = consent.context;
                DeviceDecision::Approve(Box::new(grant))
            }
        };
        match ports.store.decide_device(user_code.hash(), decision, now).await? {
            Decided::Decided => Ok(()),
            Decided::AlreadyDecided | Decided::Missing => Err(Denial::DeviceCodeUnknown),
        }
    }
}
