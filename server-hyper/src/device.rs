//! The page where people confirm a device that shows a code ([RFC 8628, section 3.3]).
//!
//! [RFC 8628, section 3.3]: https://www.rfc-editor.org/rfc/rfc8628#section-3.3

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, request};
use http_body::Body as HttpBody;
use vestibule_oauth_core::{FormRules, Params, UnixTime};
use vestibule_storage::WebSession;
use vestibule_strategy::Provenance;
use vestibule_token_endpoint::{Denial, DeviceState, Entropy, StoredDevice, UserCode};

use crate::ambient;
use crate::app::{App, Visitor};
use crate::authorize::{consent_of, name_of};
use crate::body::BodyError;
use crate::buckets::{Buckets, ClientAddress, Empty};
use crate::form::read_form;
use crate::oauth::path;
use crate::pages::{Asked, DeviceCode, Problem, SignIn};
use crate::respond;
use crate::web::person;

/// How many codes somebody may type wrong in a row. There are 25 thousand million of them, and a few that are good at any time.
const TYPED_WRONG: u32 = 10;

/// How long it takes until they may type one more.
const TYPE_AGAIN: Duration = Duration::from_secs(30);

/// How many an address may: an office, each with a device. An account is easily made, an address is not.
const TYPED_WRONG_AT: u32 = 60;

/// What was typed wrong, by who is signed in and by where they are.
#[derive(Debug)]
pub(crate) struct TypedWrong {
    by_subject: Buckets<String>,
    by_address: Buckets<IpAddr>,
}

impl TypedWrong {
    pub(crate) const fn new() -> Self {
        Self {
            by_subject: Buckets::new(TYPED_WRONG, TYPE_AGAIN),
            by_address: Buckets::new(TYPED_WRONG_AT, TYPE_AGAIN),
        }
    }

    /// Whether somebody may type a code, right or wrong. Who has typed too many wrong ones waits with the right one as well: an answer that
    /// came at once for that one alone would tell it from all others.
    fn may_type(&self, subject: &str, address: Option<IpAddr>, now: UnixTime) -> Result<(), Empty> {
        address.map_or(Ok(()), |address| self.by_address.has_left(&address, now))?;
        self.by_subject.has_left(&subject.to_owned(), now)
    }

    fn count(&self, subject: &str, address: Option<IpAddr>, now: UnixTime) {
        // Whether it was the last one, the next one is told.
        let _empty = address.map(|address| self.by_address.take(&address, now));
        let _empty = self.by_subject.take(&subject.to_owned(), now);
    }
}

impl App {
    /// `GET /oauth2/device`: where to type the code; with `user_code`, what the device asks for.
    pub(crate) async fn device(&self, parts: request::Parts) -> Response<Bytes> {
        let query = parts.uri.query().unwrap_or_default().as_bytes();
        let params = Params::parse(query, &FormRules::DEFAULT).unwrap_or_default().into_owned();
        let typed = params.value("user_code").unwrap_or_default();
        let session = match self.signed_in(&parts).await {
            Ok(Visitor::SignedIn(both)) => both.0,
            Ok(Visitor::Nobody | Visitor::Ended) => return self.sign_in_for_device(typed),
            Err(unavailable) => return self.unavailable(&parts, &unavailable),
        };
        if typed.is_empty() {
            return self.code_page(StatusCode::OK, typed, None);
        }
        match self.waiting(&parts, &session, typed).await {
            Ok((code, stored)) => self.device_page(&parts, &session, &code, stored).await,
            Err(denial) => self.wrong_code(&parts, typed, &denial),
        }
    }

    /// `POST /oauth2/device`: the person's answer.
    pub(crate) async fn device_form<B>(&self, request: Request<B>) -> Response<Bytes>
    where
        B: HttpBody + Send,
        B::Data: Send,
        B::Error: Into<BodyError>,
    {
        let (parts, body) = request.into_parts();
        if !Provenance::of(&parts.headers, &self.public_url).may_post() {
            return self.cross_site(&parts);
        }
        let form = match read_form(&parts, body).await {
            Ok(form) => form,
            Err(refusal) => return refusal.into(),
        };
        let params = Params::parse(&form, &FormRules::DEFAULT).unwrap_or_default();
        let typed = params.value("user_code").unwrap_or_default();
        let session = match self.signed_in(&parts).await {
            Ok(Visitor::SignedIn(both)) => both.0,
            Ok(Visitor::Nobody | Visitor::Ended) => return self.sign_in_for_device(typed),
            Err(unavailable) => return self.unavailable(&parts, &unavailable),
        };
        let (code, stored) = match self.waiting(&parts, &session, typed).await {
            Ok(waiting) => waiting,
            Err(denial) => return self.wrong_code(&parts, typed, &denial),
        };
        let shown = params.value("subject") == Some(session.subject.as_str());
        let consent = match params.value("decision") {
            Some("allow") if shown => Some(consent_of(&session, stored.device.scope)),
            Some("deny") => None,
            // Only the code was typed, or somebody else has signed in meanwhile: first look, then say yes.
            _ => return self.device_page(&parts, &session, &code, stored).await,
        };
        let allowed = consent.is_some();
        let (entropy, now) = (Entropy::new(ambient::octets()), ambient::now());
        let endpoint = self.oauth.endpoint();
        match endpoint.decide_device(&code, consent, &entropy, now, self.oauth.ports()).await {
            Ok(()) if allowed => {
                let sentence = "The device is signed in. You can close this page.";
                respond::page(StatusCode::OK, self.pages().notice("All set", sentence, None))
            }
            Ok(()) => {
                let sentence = "The device was refused. Nothing was shared.";
                respond::page(StatusCode::OK, self.pages().notice("Refused", sentence, None))
            }
            Err(denial) => self.wrong_code(&parts, typed, &denial),
        }
    }

    /// The device that shows this code and waits.
    async fn waiting(
        &self,
        parts: &request::Parts,
        session: &WebSession,
        typed: &str,
    ) -> Result<(UserCode, StoredDevice), Denial> {
        let now = ambient::now();
        let address = parts.extensions.get::<ClientAddress>().map(|address| address.subscriber());
        self.typed_wrong.may_type(&session.subject, address, now).map_err(|_| Denial::SlowDown)?;
        let found = match typed.parse::<UserCode>() {
            Ok(code) => {
                let stored = self.oauth.ports().store.device_showing(code.hash()).await?;
                let waits = |stored: &StoredDevice| {
                    stored.state == DeviceState::Pending && stored.device.expires_at > now
                };
                stored.filter(waits).map(|stored| (code, stored))
            }
            Err(_) => None,
        };
        found.ok_or_else(|| {
            self.typed_wrong.count(&session.subject, address, now);
            tracing::warn!(target: "vestibule::audit", subject = session.subject, "a device's code was typed wrong");
            Denial::DeviceCodeUnknown
        })
    }

    async fn device_page(
        &self,
        parts: &request::Parts,
        session: &WebSession,
        code: &UserCode,
        stored: StoredDevice,
    ) -> Response<Bytes> {
        let client = match self.oauth.ports().clients.client(stored.device.client.as_str()).await {
            Ok(Some(client)) => client,
            Ok(None) => return self.denied_page(parts, &Denial::UnknownClient),
            Err(unavailable) => return self.unavailable(parts, &unavailable),
        };
        let code = code.to_string();
        let page = Asked {
            client: name_of(&client),
            client_id: client.id.as_str(),
            place: format!("the device that shows {code}"),
            action: path::DEVICE,
            field: ("user_code", &code),
            scopes: stored.device.scope.iter().map(str::to_owned).collect(),
            resources: &stored.device.resources,
            subject: &session.subject,
            person: person(session),
        };
        respond::page(StatusCode::OK, self.pages().consent(&page))
    }

    fn code_page(&self, status: StatusCode, typed: &str, problem: Option<Problem<'_>>) -> Response<Bytes> {
        respond::page(status, self.pages().device(&DeviceCode { typed, problem }))
    }

    fn wrong_code(&self, parts: &request::Parts, typed: &str, denial: &Denial) -> Response<Bytes> {
        let (status, sentence) = match denial {
            Denial::DeviceCodeUnknown => (
                StatusCode::BAD_REQUEST,
                "No device waits with that code. Look at the device again: a code is good for ten minutes, and once.",
            ),
            Denial::SlowDown => (
                StatusCode::TOO_MANY_REQUESTS,
                "Too many codes were wrong. Wait half a minute, then type the code that the device shows.",
            ),
            other => return self.denied_page(parts, other),
        };
        self.code_page(status, typed, Some(Problem { sentence, code: denial.row().code.as_str() }))
    }

    fn sign_in_for_device(&self, typed: &str) -> Response<Bytes> {
        let typed: String = url::form_urlencoded::byte_serialize(typed.as_bytes()).collect();
        let return_to = if typed.is_empty() {
            path::DEVICE.to_owned()
        } else {
            format!("{}?user_code={typed}", path::DEVICE)
        };
        let page = SignIn { return_to: Some(&return_to), client: Some("your device"), ..SignIn::default() };
        respond::page(StatusCode::OK, self.pages().sign_in(&page))
    }
}
