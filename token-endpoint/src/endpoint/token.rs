//! The token endpoint: the pure steps, strung together over the ports.

use bytes::Bytes;
use http::{Request, Response};
use vestibule_oauth_core::UnixTime;

use super::{Denied, Endpoint};
use crate::answer::Answer;
use crate::caller::Caller;
use crate::client_request::ClientRequest;
use crate::code_grant::CodeDecision;
use crate::denial::Denial;
use crate::device_grant::{DeviceDecisionStep, polled};
use crate::event::{Event, EventKind};
use crate::extension::Exchange;
use crate::grant::GrantId;
use crate::issue::{Conclusion, Deciding, Entropy, Order};
use crate::refresh_grant::RefreshDecision;
use crate::store::{Ports, TokenPut};
use crate::token_request::TokenRequest;

impl Endpoint {
    /// Answers a token request ([RFC 6749, section 3.2]).
    ///
    /// Once the act that issues tokens has been asked of the store, run this to its end, whoever goes away: an answer that is not
    /// sent can be had again, one that was never made cannot.
    ///
    /// [RFC 6749, section 3.2]: https://www.rfc-editor.org/rfc/rfc6749#section-3.2
    pub async fn token(
        &self,
        request: &Request<Bytes>,
        entropy: &Entropy,
        now: UnixTime,
        ports: Ports<'_>,
    ) -> Answer {
        let outcome = self.issue(request, entropy, now, ports).await;
        self.answer(request, outcome, now)
    }

    async fn issue(
        &self,
        request: &Request<Bytes>,
        entropy: &Entropy,
        now: UnixTime,
        ports: Ports<'_>,
    ) -> Result<(Response<Bytes>, Vec<Event>), Denied> {
        let form = ClientRequest::parse(request)?;
        let mut caller = self.caller(&form, &self.targets().token, now, ports).await?;
        let mut events = std::mem::take(&mut caller.events);
        let cx = Deciding::new(self, &caller, &form, entropy, now);
        let mut about = None;
        let decided = match TokenRequest::read(&form, self) {
            Ok(asked) => decide(asked, &cx, ports, &mut about).await,
            Err(denial) => Err(denial),
        };
        // What was verified is good once, whatever came of the request.
        let spent = self.spend(caller.one_time(), now, ports).await;
        let concluded = match (decided, spent) {
            (Err(denial), _) | (Ok(_), Err(denial)) => Err(denial),
            (Ok(next), Ok(())) => act(next, now, ports).await,
        };
        let concluded = match concluded {
            Ok(conclusion) => finish(conclusion, &caller, now, ports, &mut events).await,
            Err(denial) => Err(denial),
        };
        match concluded {
            Ok((response, more)) => {
                events.extend(more);
                Ok((response, events))
            }
            Err(denial) => {
                Err(Denied { denial, client: Some(caller.client().id.clone()), grant: about, events })
            }
        }
    }
}

/// What is to be done next.
enum Next {
    Conclude(Conclusion),
    Redeem(Box<crate::code_grant::RedeemCode>),
    Rotate(Box<crate::refresh_grant::Rotate>),
    Poll(crate::token::TokenHash),
    RedeemDevice(Box<crate::device_grant::RedeemDevice>),
}

/// Looks up what the request presents, and decides. `about` is the grant in question, where there is one.
async fn decide(
    asked: TokenRequest,
    cx: &Deciding<'_>,
    ports: Ports<'_>,
    about: &mut Option<GrantId>,
) -> Result<Next, Denial> {
    let now = cx.now;
    match asked {
        TokenRequest::Code(asked) => {
            let stored = match asked.presented() {
                Some(name) => ports.store.code(name).await?,
                None => None,
            };
            *about = stored.as_ref().map(|stored| stored.code.grant.id);
            Ok(match asked.decide(cx, stored)? {
                CodeDecision::Redeem(redeem) => Next::Redeem(redeem),
                CodeDecision::Conclude(conclusion) => Next::Conclude(conclusion),
            })
        }
        TokenRequest::Refresh(asked) => {
            let stored = match asked.presented() {
                Some(name) => ports.store.refresh_token(name).await?,
                None => None,
            };
            *about = stored.as_ref().map(|stored| stored.grant.id);
            Ok(match asked.decide(cx, stored)? {
                RefreshDecision::Rotate(rotate) => Next::Rotate(rotate),
                RefreshDecision::Conclude(conclusion) => Next::Conclude(conclusion),
            })
        }
        TokenRequest::ClientCredentials(asked) => asked.decide(cx).map(Next::Conclude),
        TokenRequest::Device(asked) => {
            let stored = match asked.presented() {
                Some(name) => ports.store.device(name).await?,
                None => None,
            };
            Ok(match asked.decide(cx, stored)? {
                DeviceDecisionStep::Poll(name) => Next::Poll(name),
                DeviceDecisionStep::Redeem(redeem) => Next::RedeemDevice(redeem),
            })
        }
        TokenRequest::Extension(grant_type) => {
            cx.may_use(&grant_type)?;
            cx.proof_if_wanted()?;
            let extension = cx.endpoint.extension(&grant_type).ok_or(Denial::UnsupportedGrantType)?;
            let approved = extension.decide(&Exchange::new(*cx, ports)).await?;
            *about = approved.grant;
            cx.endpoint.spend(&approved.one_time, now, ports).await?;
            let issued = cx.issue(Order {
                grant_type,
                grant: approved.grant,
                subject: &approved.subject,
                scope: approved.scope,
                resources: approved.resources,
                actors: approved.actors,
                ends_by: approved.ends_by,
            })?;
            let issued = match approved.issued_token_type {
                Some(name) => issued.with_issued_token_type(name),
                None => issued,
            };
            Ok(Next::Conclude(Conclusion::giving(issued)))
        }
    }
}

/// The one act, and what its outcome means.
async fn act(next: Next, now: UnixTime, ports: Ports<'_>) -> Result<Conclusion, Denial> {
    Ok(match next {
        Next::Conclude(conclusion) => conclusion,
        Next::Redeem(redeem) => {
            let outcome = ports.store.redeem_code(redeem.code(), redeem.issuance().clone(), now).await?;
            redeem.conclude(outcome)
        }
        Next::Rotate(rotate) => {
            let outcome = ports.store.rotate_refresh(rotate.rotation().clone()).await?;
            rotate.conclude(outcome)
        }
        Next::Poll(name) => return Err(polled(ports.store.poll_device(name, now).await?)),
        Next::RedeemDevice(redeem) => {
            let outcome = ports.store.redeem_device(redeem.code(), redeem.issuance().clone(), now).await?;
            redeem.conclude(outcome)
        }
    })
}

/// What is left to do, and the answer.
async fn finish(
    conclusion: Conclusion,
    caller: &Caller,
    now: UnixTime,
    ports: Ports<'_>,
    events: &mut Vec<Event>,
) -> Result<(Response<Bytes>, Vec<Event>), Denial> {
    match conclusion {
        Conclusion::Answer(issued) => Ok(issued.into_answer()),
        Conclusion::Keep(record, issued) => match ports.store.put_access_token(record).await? {
            TokenPut::Kept => Ok(issued.into_answer()),
            TokenPut::GrantEnded => Err(Denial::GrantEnded(crate::grant::EndReason::Revoked)),
        },
        Conclusion::Deny(denial) => Err(denial),
        Conclusion::EndGrant(grant, reason, denial) => {
            if ports.store.end_grant(grant, reason, now).await?.is_some() {
                let event = Event::new(EventKind::GrantEnded(reason));
                events.push(event.of_client(&caller.client().id).about(grant));
            }
            Err(denial)
        }
    }
}
