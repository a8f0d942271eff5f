//! What all endpoints have in common: who asks, what is good once, and how a denial is told.

use bytes::Bytes;
use http::{Request, Response};
use vestibule_dpop::TargetUri;
use vestibule_oauth_core::{ClientId, UnixTime};

use super::Endpoint;
use crate::answer::{self, Answer, Telling};
use crate::caller::{Caller, OneTime};
use crate::client_request::{ClientRequest, used_authorization};
use crate::denial::Denial;
use crate::event::{Event, EventKind};
use crate::grant::GrantId;
use crate::store::{Once, Ports};

/// A request that is denied, and what there is to tell about it.
#[derive(Debug)]
pub(crate) struct Denied {
    pub(crate) denial: Denial,
    pub(crate) client: Option<ClientId>,
    pub(crate) grant: Option<GrantId>,
    pub(crate) events: Vec<Event>,
}

impl Denied {
    /// A request of the client that it names, whether it is that client or not.
    pub(crate) fn by(form: &ClientRequest<'_>, denial: Denial) -> Self {
        Self { client: form.client_id().parse().ok(), ..Self::from(denial) }
    }
}

impl From<Denial> for Denied {
    fn from(denial: Denial) -> Self {
        Self { denial, client: None, grant: None, events: Vec::new() }
    }
}

impl Endpoint {
    /// Who sends this form to this address.
    pub(crate) async fn caller(
        &self,
        form: &ClientRequest<'_>,
        target: &TargetUri,
        now: UnixTime,
        ports: Ports<'_>,
    ) -> Result<Caller, Denied> {
        let denied = |denial| Denied::by(form, denial);
        let found = ports.clients.client(form.client_id()).await.map_err(|error| denied(error.into()))?;
        let client = match (found, form.client_id_as_it_stands()) {
            (None, Some(name)) => ports.clients.client(name).await.map_err(|error| denied(error.into()))?,
            (found, _) => found,
        };
        form.authenticate(client.as_ref(), self, target, now).map_err(denied)
    }

    /// The same for an endpoint that issues nothing: what was verified is remembered at once.
    pub(crate) async fn caller_once(
        &self,
        form: &ClientRequest<'_>,
        target: Option<&TargetUri>,
        now: UnixTime,
        ports: Ports<'_>,
    ) -> Result<Caller, Denied> {
        // An endpoint without an address of its own is not served; a proof for it is one for the token endpoint.
        let caller = self.caller(form, target.unwrap_or_else(|| &self.targets().token), now, ports).await?;
        match self.spend(caller.one_time(), now, ports).await {
            Ok(()) => Ok(caller),
            Err(denial) => Err(Denied::by(form, denial)),
        }
    }

    /// Remembers what was good once.
    pub(crate) async fn spend(
        &self,
        values: &[OneTime],
        now: UnixTime,
        ports: Ports<'_>,
    ) -> Result<(), Denial> {
        for value in values {
            match ports.store.remember_once(value.key, value.until, now).await? {
                Once::Fresh => {}
                Once::Seen => return Err(value.kind.replayed()),
                Once::Full => return Err(Denial::Full),
            }
        }
        Ok(())
    }

    /// The answer to a request, with a nonce for the next proof where there was a proof, or should have been one.
    pub(crate) fn answer(
        &self,
        request: &Request<Bytes>,
        outcome: Result<(Response<Bytes>, Vec<Event>), Denied>,
        now: UnixTime,
    ) -> Answer {
        let mut nonce = request.headers().contains_key("dpop");
        let (mut response, events) = match outcome {
            Ok(answered) => answered,
            Err(Denied { denial, client, grant, mut events }) => {
                let challenge = used_authorization(request.headers()).then_some(REALM);
                let response = answer::denied(&denial, Telling { challenge });
                nonce |= denial.wants_nonce();
                events.push(Event { kind: EventKind::Denied(denial), client, grant });
                (response, events)
            }
        };
        if nonce {
            answer::with_nonce(&mut response, &self.keys().nonces.issue(now));
        }
        Answer { response, events }
    }
}

/// The realm of every challenge: which secrets are good here.
const REALM: &str = "oauth";
