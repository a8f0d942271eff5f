//! Grants that this crate does not know: a way to get tokens that somebody else has written
//! ([RFC 6749, section 4.5](https://www.rfc-editor.org/rfc/rfc6749#section-4.5)).

use std::fmt;

use vestibule_oauth_core::{BoxFuture, ScopeSet, UnixTime};

use crate::access_token::TokenFacts;
use crate::caller::OneTime;
use crate::client::Client;
use crate::denial::Denial;
use crate::endpoint::Endpoint;
use crate::grant::GrantId;
use crate::grant_type::GrantType;
use crate::issue::Deciding;
use crate::store::Ports;

/// A grant that is added to an endpoint. Before it is asked, the client was authenticated and is registered for it, and the
/// proof was verified; what it approves, the endpoint issues.
///
/// [`TokenExchange`](crate::TokenExchange) and [`JwtBearer`](crate::JwtBearer) are two of them.
///
/// ```
/// use vestibule_oauth_core::BoxFuture;
/// use vestibule_token_endpoint::{Approved, Denial, Exchange, ExtensionGrant, GrantType};
///
/// /// A token for whoever knows the word.
/// struct Magic;
///
/// impl ExtensionGrant for Magic {
///     fn grant_type(&self) -> GrantType {
///         "urn:example:grant-type:magic".parse().unwrap()
///     }
///
///     fn decide<'a>(&'a self, asked: &'a Exchange<'a>) -> BoxFuture<'a, Result<Approved, Denial>> {
///         Box::pin(async move {
///             match asked.value("word") {
///                 Some("please") => Ok(Approved::new("somebody", asked.client().scope.clone())),
///                 _ => Err(Denial::Missing("word")),
///             }
///         })
///     }
/// }
/// ```
pub trait ExtensionGrant: Send + Sync {
    /// The `grant_type` it answers to.
    fn grant_type(&self) -> GrantType;

    /// Decides a request.
    ///
    /// # Errors
    /// A [`Denial`]; nothing has changed.
    fn decide<'a>(&'a self, asked: &'a Exchange<'a>) -> BoxFuture<'a, Result<Approved, Denial>>;
}

/// A request for an extension grant.
#[derive(Debug)]
pub struct Exchange<'a> {
    cx: Deciding<'a>,
    ports: Ports<'a>,
}

impl<'a> Exchange<'a> {
    pub(crate) const fn new(cx: Deciding<'a>, ports: Ports<'a>) -> Self {
        Self { cx, ports }
    }

    /// The client, authenticated.
    pub fn client(&self) -> &Client {
        self.cx.client()
    }

    /// The server.
    pub const fn endpoint(&self) -> &Endpoint {
        self.cx.endpoint
    }

    /// The value of a parameter; `None` if it is absent or empty.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.cx.form.value(name)
    }

    /// The value of a parameter that must be there.
    ///
    /// # Errors
    /// [`Denial::Missing`].
    pub fn required(&self, name: &'static str) -> Result<&str, Denial> {
        self.value(name).ok_or(Denial::Missing(name))
    }

    /// Every value of `resource` or `audience`, the two that may be repeated.
    pub fn all<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s str> {
        self.cx.form.all(name)
    }

    /// The thumbprint of the DPoP key that the request proves to hold.
    pub fn proof_key(&self) -> Option<&vestibule_dpop::Thumbprint> {
        self.cx.caller.proof_key()
    }

    /// When.
    pub const fn now(&self) -> UnixTime {
        self.cx.now
    }

    /// What an access token of this server says, if it is one and is good now.
    ///
    /// # Errors
    /// [`Denial::Unavailable`].
    pub async fn access_token(&self, text: &str) -> Result<Option<TokenFacts>, Denial> {
        self.cx.endpoint.live_access_token(text, self.ports, self.cx.now).await
    }
}

/// What an extension grant approves.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Approved {
    /// Whom the token speaks for.
    pub subject: String,
    /// What it is good for.
    pub scope: ScopeSet,
    /// Where it is good; none is the server's own audience.
    pub resources: Vec<String>,
    /// Who acts for the subject, the one who acts now in front.
    pub actors: Vec<String>,
    /// The grant it belongs to, and ends with.
    pub grant: Option<GrantId>,
    /// When it ends at the latest.
    pub ends_by: Option<UnixTime>,
    /// What kind of token it is, where the answer has to say so.
    pub issued_token_type: Option<&'static str>,
    /// What was good for this request and must not be good for another.
    pub one_time: Vec<OneTime>,
}

impl Approved {
    /// A token that speaks for `subject`, with the lifetime of the client's tokens.
    pub fn new(subject: impl Into<String>, scope: ScopeSet) -> Self {
        Self {
            subject: subject.into(),
            scope,
            resources: Vec::new(),
            actors: Vec::new(),
            grant: None,
            ends_by: None,
            issued_token_type: None,
            one_time: Vec::new(),
        }
    }
}

impl fmt::Debug for dyn ExtensionGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExtensionGrant({})", self.grant_type())
    }
}
