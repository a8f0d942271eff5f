//! The ways a person signs in to their account: which there are, one more, one fewer.
//!
//! One more is a login like any other, begun by a form with `intent=link`; [`Hall`](crate::hall::Hall) ends it. One fewer is here.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body as HttpBody;
use vestibule_atproto_identity::login::SessionKey;
use vestibule_oauth_core::{FormRules, Params, StoreUnavailable};
use vestibule_storage::{IdentityKey, Unlinked, WebSession};

use crate::app::App;
use crate::body::BodyError;
use crate::pages::LinkedIdentity;
use crate::respond;

impl App {
    /// The identities of an account, for the signed-in page.
    pub(crate) async fn identities(&self, subject: &str) -> Result<Vec<LinkedIdentity>, StoreUnavailable> {
        let identities = self.accounts.identities(subject).await?;
        let several = identities.len() > 1;
        let shown = identities.into_iter().map(|identity| {
            let handle = identity.provider.as_str() == "atproto";
            let name = identity.name.map(|name| if handle { format!("@{name}") } else { name });
            LinkedIdentity {
                label: self.labels.label(&identity.provider).to_owned(),
                name: name.unwrap_or_else(|| identity.key.uid.clone()),
                realm: identity.key.realm,
                uid: identity.key.uid,
                may_go: several,
            }
        });
        Ok(shown.collect())
    }

    /// `POST /identities/unlink`: takes the identity `realm`, `uid` away from the account. Whoever had signed in with it somewhere is
    /// signed out there.
    pub(crate) async fn unlink<B>(self: Arc<Self>, request: Request<B>) -> Response<Bytes>
    where
        B: HttpBody + Send,
        B::Data: Send,
        B::Error: Into<BodyError>,
    {
        let (parts, body) = request.into_parts();
        let (session, form) = match self.own_form(&parts, body).await {
            Ok(both) => both,
            Err(refusal) => return *refusal,
        };
        let params = Params::parse(&form, &FormRules::DEFAULT).unwrap_or_default();
        let named = params.value("realm").zip(params.value("uid"));
        let Some(key) = named.map(|(realm, uid)| IdentityKey::new(realm, uid)) else {
            let sentence = "the form must name an identity by realm and uid";
            return respond::error_answer(StatusCode::BAD_REQUEST, "invalid_request", sentence);
        };
        match self.accounts.unlink(&session.subject, key.clone()).await {
            Ok(Unlinked::Unlinked) => {
                tracing::warn!(target: "vestibule::audit", subject = session.subject, realm = key.realm, uid = key.uid, "identity unlinked");
                match self.signed_out_of(&session, &key).await {
                    Ok(()) => respond::see_other("/"),
                    Err(unavailable) => self.unavailable(&parts, &unavailable),
                }
            }
            // A form that was sent twice.
            Ok(Unlinked::Missing) => respond::see_other("/"),
            Ok(Unlinked::Last) => {
                let sentence = "This is the only way you sign in here, so it stays. Link another one first.";
                let (status, code) = (StatusCode::CONFLICT, "last_identity");
                if respond::wants_page(&parts.headers) {
                    return respond::page(status, self.pages().notice("Not unlinked", sentence, Some(code)));
                }
                respond::error_answer(status, code, sentence)
            }
            Err(unavailable) => self.unavailable(&parts, &unavailable),
        }
    }

    /// Ends what the identity may have been used for: the sessions in other browsers, and the session at the person's server that this
    /// browser uses, if it is that identity's.
    async fn signed_out_of(
        self: &Arc<Self>,
        session: &WebSession,
        gone: &IdentityKey,
    ) -> Result<(), StoreUnavailable> {
        let ended = self.web.leave_elsewhere(session).await?;
        let mut upstream: Vec<_> = ended.into_iter().filter_map(|ended| ended.session).collect();
        if let Some(used) = session.session.as_ref().filter(|used| used.did().as_str() == gone.uid) {
            self.web.use_upstream(session.clone(), None).await?;
            upstream.push(used.clone());
        }
        self.release(upstream.iter().map(SessionKey::to_string).collect());
        Ok(())
    }
}
