//! The flow: from a handle or a DID to an identity, over the two ports, in the order of trust.

use thiserror::Error;
use url::Url;
use vestibule_oauth_core::{HttpClient, HttpError, TxtError, TxtLookup};

use crate::at_identifier::AtIdentifier;
use crate::did::{Did, DidMethod, UnusableDid};
use crate::document::{DidDocument, DidDocumentError, InvalidPds};
use crate::handle::{DevelopmentNames, Handle, NeverResolves};
use crate::server_origin::ServerOrigin;
use crate::txt::TxtAnswerError;
use crate::well_known::{WellKnownAnswer, WellKnownError};
use crate::{did_web, plc, txt, well_known};

/// Where and how to resolve.
///
/// ```
/// use vestibule_atproto_identity::{DevelopmentNames, ResolveOptions, plc};
///
/// let options = ResolveOptions::new(plc::DEFAULT_DIRECTORY.parse().unwrap());
/// assert_eq!(options.development, DevelopmentNames::Refused);
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ResolveOptions {
    /// The directory of `did:plc`, chosen by the operator: [`plc::DEFAULT_DIRECTORY`] or one of their own.
    pub plc_url: Url,
    /// Whether names and addresses of a developer's machine are used.
    pub development: DevelopmentNames,
}

impl ResolveOptions {
    /// For production, with this directory.
    pub const fn new(plc_url: Url) -> Self {
        Self { plc_url, development: DevelopmentNames::Refused }
    }

    /// The same with another rule for names of a developer's machine.
    #[must_use]
    pub const fn with_development(mut self, development: DevelopmentNames) -> Self {
        self.development = development;
        self
    }
}

/// An account, as its DID document and its handle agree on it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Identity {
    /// The account for good.
    pub did: Did,
    /// What it is called at present: none when it claims no handle, or one that does not lead back to it.
    pub handle: Option<Handle>,
    /// Where it lives.
    pub pds: ServerOrigin,
    /// What all of this was read from.
    pub document: DidDocument,
}

impl Identity {
    /// The handle to show: [`Handle::INVALID`] when there is none.
    pub fn shown_handle(&self) -> &str {
        self.handle.as_ref().map_or(Handle::INVALID, Handle::as_str)
    }
}

/// Resolves whatever a person gave as their name, and makes sure that the handle and the DID document name each other.
///
/// From a handle, the document must claim it. From a DID, a handle that cannot be verified is no error: the identity
/// then has none.
///
/// # Errors
/// When the handle or the DID does not resolve, when they disagree, and when the document names no server.
pub async fn resolve(
    subject: &AtIdentifier,
    options: &ResolveOptions,
    http: &dyn HttpClient,
    dns: &dyn TxtLookup,
) -> Result<Identity, ResolveError> {
    match subject {
        AtIdentifier::Handle(handle) => {
            let did = resolve_handle(handle, options, http, dns).await.map_err(ResolveError::Handle)?;
            let document = resolve_did(&did, options, http).await.map_err(ResolveError::Did)?;
            match document.claimed_handle() {
                Some(claimed) if claimed == *handle => identity(did, Some(claimed), document, options),
                claimed => Err(ResolveError::NotClaimed { handle: handle.clone(), did, claimed }),
            }
        }
        AtIdentifier::Did(did) => {
            let document = resolve_did(did, options, http).await.map_err(ResolveError::Did)?;
            let mut handle = document.claimed_handle();
            if let Some(claimed) = &handle {
                let leads_back = resolve_handle(claimed, options, http, dns).await;
                if leads_back.as_ref() != Ok(did) {
                    handle = None;
                }
            }
            identity(did.clone(), handle, document, options)
        }
    }
}

fn identity(
    did: Did,
    handle: Option<Handle>,
    document: DidDocument,
    options: &ResolveOptions,
) -> Result<Identity, ResolveError> {
    match document.pds(options.development) {
        Ok(pds) => Ok(Identity { did, handle, pds, document }),
        Err(cause) => Err(ResolveError::Pds { did, cause }),
    }
}

/// Asks the DNS for the DID of `handle`, and the handle's own host when the DNS has none or fails.
///
/// The answer is what the handle says. Whether the DID agrees, [`resolve`] finds out.
///
/// # Errors
/// When the handle is of a kind that never resolves, when the DNS names two DIDs (which the specification makes a
/// failure, so HTTPS is not tried), and when neither way leads to a DID: then with both causes.
pub async fn resolve_handle(
    handle: &Handle,
    options: &ResolveOptions,
    http: &dyn HttpClient,
    dns: &dyn TxtLookup,
) -> Result<Did, HandleError> {
    if let Some(why) = handle.never_resolves(options.development) {
        return Err(HandleError::NeverResolves(why));
    }
    let dns = match by_dns(handle, dns).await {
        Ok(did) => return Ok(did),
        Err(NoTxt::Answer(TxtAnswerError::Conflict)) => return Err(HandleError::Ambiguous),
        Err(why) => why,
    };
    by_https(handle, http).await.map_err(|https| HandleError::NotFound { dns, https })
}

async fn by_dns(handle: &Handle, dns: &dyn TxtLookup) -> Result<Did, NoTxt> {
    let name = txt::name(handle).ok_or(NoTxt::NameTooLong)?;
    let records = dns.txt(&name).await.map_err(NoTxt::Lookup)?;
    txt::read(&records).map_err(NoTxt::Answer)?.ok_or(NoTxt::NoRecord)
}

async fn by_https(handle: &Handle, http: &dyn HttpClient) -> Result<Did, NoWellKnown> {
    let mut call = well_known::request(handle);
    for _ in 0..=MAX_REDIRECTS {
        let asked = call.request.uri().clone();
        let response = http.send(call).await.map_err(NoWellKnown::Unreachable)?;
        match well_known::read(&asked, &response).map_err(NoWellKnown::Answer)? {
            WellKnownAnswer::Did(did) => return Ok(did),
            WellKnownAnswer::Redirect(url) => call = well_known::request_again(&url),
        }
    }
    Err(NoWellKnown::Answer(WellKnownError::TooManyRedirects))
}

/// Fetches the document of `did` from wherever its method keeps it.
///
/// # Errors
/// When the DID cannot be resolved at all, when nobody answers, and when the answer is no document of this DID.
pub async fn resolve_did(
    did: &Did,
    options: &ResolveOptions,
    http: &dyn HttpClient,
) -> Result<DidDocument, DidError> {
    match did.method(options.development).map_err(DidError::Unusable)? {
        DidMethod::Plc => {
            let response = http.send(plc::request(&options.plc_url, did)).await;
            plc::read(did, &response.map_err(DidError::Unreachable)?).map_err(DidError::Answer)
        }
        DidMethod::Web(host) => {
            let response = http.send(did_web::request(&host)).await;
            did_web::read(did, &response.map_err(DidError::Unreachable)?).map_err(DidError::Answer)
        }
    }
}

/// Why a handle does not lead to a DID.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum HandleError {
    /// Handles of this kind are never looked up.
    #[error("handle does not resolve: {0}")]
    NeverResolves(NeverResolves),
    /// The DNS names two DIDs.
    #[error("handle does not resolve: {}", TxtAnswerError::Conflict)]
    Ambiguous,
    /// Neither way led to a DID.
    #[error("handle does not resolve: by DNS, {dns}; by HTTPS, {https}")]
    NotFound {
        /// Why the DNS did not help.
        dns: NoTxt,
        /// Why the handle's host did not help.
        https: NoWellKnown,
    },
}

impl HandleError {
    /// Whether time ran out on either way, so that the handle may be good all the same.
    pub const fn is_timeout(&self) -> bool {
        match self {
            Self::NotFound { dns, https } => {
                matches!(dns, NoTxt::Lookup(TxtError::Timeout))
                    || matches!(https, NoWellKnown::Unreachable(why) if why.is_timeout())
            }
            Self::NeverResolves(_) | Self::Ambiguous => false,
        }
    }
}

/// Why the DNS did not lead to a DID.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum NoTxt {
    /// The handle is too long to have a name there.
    #[error("the handle is too long to be looked up")]
    NameTooLong,
    /// It has no record of a DID.
    #[error("there is no TXT record of a DID")]
    NoRecord,
    /// The look-up failed.
    #[error("{0}")]
    Lookup(TxtError),
    /// The records are not as they should be.
    #[error("{0}")]
    Answer(TxtAnswerError),
}

/// Why a handle's host did not lead to a DID.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum NoWellKnown {
    /// It could not be asked, or did not answer.
    #[error("{0}")]
    Unreachable(HttpError),
    /// Its answer names no DID.
    #[error("{0}")]
    Answer(WellKnownError),
}

/// Why a DID does not lead to a document.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum DidError {
    /// It cannot be resolved at all: there is nobody to ask.
    #[error("{0}")]
    Unusable(UnusableDid),
    /// Whoever keeps the document could not be asked, or did not answer.
    #[error("DID document cannot be had: {0}")]
    Unreachable(HttpError),
    /// The answer is no document of this DID.
    #[error("{0}")]
    Answer(DidDocumentError),
}

impl DidError {
    /// Whether time ran out.
    pub const fn is_timeout(&self) -> bool {
        matches!(self, Self::Unreachable(why) if why.is_timeout())
    }
}

/// Why a name does not lead to an identity.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// The handle that was given does not lead to a DID.
    #[error("{0}")]
    Handle(HandleError),
    /// The DID, given or found, does not lead to a document.
    #[error("{0}")]
    Did(DidError),
    /// The handle leads to a DID whose document does not claim it.
    #[error("handle {handle} points to {did}, whose document claims {}", claim(claimed.as_ref()))]
    NotClaimed {
        /// The handle that was given.
        handle: Handle,
        /// Where it leads.
        did: Did,
        /// What the document claims instead, if anything.
        claimed: Option<Handle>,
    },
    /// The document names no server that could be used.
    #[error("{cause}")]
    Pds {
        /// Whose document it is.
        did: Did,
        /// What is wrong with it.
        cause: InvalidPds,
    },
}

impl ResolveError {
    /// Whether time ran out, so that trying again may help.
    pub const fn is_timeout(&self) -> bool {
        match self {
            Self::Handle(why) => why.is_timeout(),
            Self::Did(why) => why.is_timeout(),
            Self::NotClaimed { .. } | Self::Pds { .. } => false,
        }
    }
}

fn claim(claimed: Option<&Handle>) -> String {
    claimed.map_or_else(|| "no handle".to_owned(), |handle| format!("{handle} instead"))
}

/// "A reasonable number" (handle specification): enough for a bare domain, its `www` and one more.
const MAX_REDIRECTS: usize = 3;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::pin::pin;
    use std::sync::Mutex;
    use std::task::{Context, Poll, Waker};

    use bytes::Bytes;
    use serde_json::json;
    use vestibule_oauth_core::{BoxFuture, HttpCall, HttpErrorKind, Trust, TxtRecord};

    use super::*;
    use crate::document::InvalidDidDocument;
    use crate::server_origin::InvalidServerOrigin;

    const DID: &str = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
    const DOCUMENT: &str = "https://plc.directory/did:plc:ewvi7nxzyoun6zhxrhs64oiz";
    const WELL_KNOWN: &str = "https://alice.example.com/.well-known/atproto-did";

    /// What a scripted host answers.
    #[derive(Clone)]
    enum Answer {
        Says(u16, String),
        Goes(String),
        Fails(HttpErrorKind),
    }

    /// A network that knows what it was told, and remembers what it was asked.
    #[derive(Default)]
    struct Script {
        txt: BTreeMap<String, Result<Vec<String>, TxtError>>,
        http: BTreeMap<String, Answer>,
        asked: Mutex<Vec<String>>,
    }

    impl Script {
        /// `alice.example.com` by DNS, and its document.
        fn good() -> Self {
            Self::default().txt("alice.example.com", &[&format!("did={DID}")]).document("alice.example.com")
        }

        fn txt(mut self, handle: &str, records: &[&str]) -> Self {
            let records = records.iter().map(|text| (*text).to_owned()).collect();
            self.txt.insert(format!("_atproto.{handle}"), Ok(records));
            self
        }

        fn txt_fails(mut self, error: TxtError) -> Self {
            self.txt.insert("_atproto.alice.example.com".to_owned(), Err(error));
            self
        }

        fn says(mut self, url: &str, status: u16, body: impl Into<String>) -> Self {
            self.http.insert(url.to_owned(), Answer::Says(status, body.into()));
            self
        }

        fn goes(mut self, url: &str, location: &str) -> Self {
            self.http.insert(url.to_owned(), Answer::Goes(location.to_owned()));
            self
        }

        fn fails(mut self, url: &str, kind: HttpErrorKind) -> Self {
            self.http.insert(url.to_owned(), Answer::Fails(kind));
            self
        }

        fn document(self, handle: &str) -> Self {
            self.says(DOCUMENT, 200, document(&[handle], "https://pds.example.com"))
        }

        fn asked(&self) -> Vec<String> {
            self.asked.lock().unwrap().clone()
        }

        fn resolve(&self, name: &str) -> Result<Identity, ResolveError> {
            self.resolve_with(name, DevelopmentNames::Refused)
        }

        fn resolve_with(&self, name: &str, development: DevelopmentNames) -> Result<Identity, ResolveError> {
            let options = ResolveOptions::new(plc::DEFAULT_DIRECTORY.parse().unwrap());
            let options = options.with_development(development);
            now(resolve(&name.parse().unwrap(), &options, self, self))
        }
    }

    impl HttpClient for Script {
        fn send<'a>(&'a self, call: HttpCall) -> BoxFuture<'a, Result<http::Response<Bytes>, HttpError>> {
            let url = call.request.uri().to_string();
            let configured = url.starts_with("https://plc.directory/");
            assert_eq!(call.trust == Trust::Configured, configured, "{url}");
            self.asked.lock().unwrap().push(url.clone());
            let answer = match self.http.get(&url) {
                Some(Answer::Says(status, body)) => {
                    Ok(http::Response::builder().status(*status).body(body.clone().into()).unwrap())
                }
                Some(Answer::Goes(to)) => {
                    let response = http::Response::builder().status(302).header("location", to);
                    Ok(response.body(Bytes::new()).unwrap())
                }
                Some(Answer::Fails(kind)) => Err(HttpError::new(*kind, "scripted")),
                None => Err(HttpError::new(HttpErrorKind::UnknownHost, "not in the script")),
            };
            Box::pin(std::future::ready(answer))
        }
    }

    impl TxtLookup for Script {
        fn txt<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<TxtRecord>, TxtError>> {
            self.asked.lock().unwrap().push(name.to_owned());
            let records = self.txt.get(name).cloned().unwrap_or(Ok(Vec::new()));
            let read = |text: String| TxtRecord::new([text.into_bytes()]);
            Box::pin(std::future::ready(records.map(|texts| texts.into_iter().map(read).collect())))
        }
    }

    /// Runs a flow over a network that never makes it wait. The flow can be moved between threads.
    fn now<T>(flow: impl Future<Output = T> + Send) -> T {
        match pin!(flow).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("the script never waits"),
        }
    }

    fn document(handles: &[&str], pds: &str) -> String {
        let names: Vec<String> = handles.iter().map(|handle| format!("at://{handle}")).collect();
        json!({
            "id": DID,
            "alsoKnownAs": names,
            "service": [{"id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": pds}],
        })
        .to_string()
    }

    #[test]
    fn r27_a_handle_resolves_by_dns_and_is_not_asked_again() {
        let script = Script::good();
        let identity = script.resolve("Alice.Example.com").unwrap();
        assert_eq!(identity.did.as_str(), DID);
        assert_eq!(identity.shown_handle(), "alice.example.com");
        assert_eq!(identity.pds.as_str(), "https://pds.example.com");
        assert_eq!(identity.document.id(), &identity.did);
        assert_eq!(script.asked(), ["_atproto.alice.example.com", DOCUMENT]);
    }

    #[test]
    fn r27_https_is_asked_when_dns_has_none_or_fails() {
        for script in [
            Script::default(),
            Script::default().txt("alice.example.com", &["v=spf1"]),
            Script::default().txt("alice.example.com", &["did=nonsense"]),
            Script::default().txt_fails(TxtError::Timeout),
            Script::default().txt_fails(TxtError::Failed("SERVFAIL".to_owned())),
        ] {
            let script = script.says(WELL_KNOWN, 200, DID).document("alice.example.com");
            assert_eq!(script.resolve("alice.example.com").unwrap().did.as_str(), DID);
            assert_eq!(script.asked(), ["_atproto.alice.example.com", WELL_KNOWN, DOCUMENT]);
        }
    }

    #[test]
    fn r32_a_long_handle_is_asked_by_https_alone() {
        let handle = format!("{0}.{0}.{0}.{1}.com", "a".repeat(60), "b".repeat(59));
        let script = Script::default()
            .says(&format!("https://{handle}/.well-known/atproto-did"), 200, DID)
            .document(&handle);
        assert_eq!(script.resolve(&handle).unwrap().shown_handle(), handle);
        assert_eq!(script.asked().len(), 2);
    }

    #[test]
    fn r33_two_dids_in_txt_refuse_without_https() {
        let script = Script::good()
            .txt("alice.example.com", &[&format!("did={DID}"), "did=did:web:example.com"])
            .says(WELL_KNOWN, 200, DID);
        let why = script.resolve("alice.example.com").unwrap_err();
        assert_eq!(why, ResolveError::Handle(HandleError::Ambiguous));
        assert_eq!(script.asked(), ["_atproto.alice.example.com"]);
    }

    #[test]
    fn r31_reserved_handles_are_never_asked_for() {
        for name in ["alice.local", "alice.test", "handle.invalid"] {
            let script = Script::default();
            let why = script.resolve(name).unwrap_err();
            assert!(matches!(why, ResolveError::Handle(HandleError::NeverResolves(_))), "{name}: {why}");
            assert!(!why.is_timeout());
            assert_eq!(script.asked(), [""; 0]);
        }
        let script = Script::default().txt("alice.test", &[&format!("did={DID}")]).document("alice.test");
        let identity = script.resolve_with("alice.test", DevelopmentNames::Allowed).unwrap();
        assert_eq!(identity.shown_handle(), "alice.test");
    }

    #[test]
    fn r36_three_redirects_are_followed_and_no_fourth() {
        let hop = |n: usize| format!("https://hop{n}.example.com/did");
        let chain = |hops: usize| {
            let mut script = Script::default().document("alice.example.com").goes(WELL_KNOWN, &hop(1));
            for n in 1..hops {
                script = script.goes(&hop(n), &hop(n + 1));
            }
            script.says(&hop(hops), 200, DID)
        };
        assert_eq!(chain(3).resolve("alice.example.com").unwrap().did.as_str(), DID);
        let script = chain(4);
        let why = script.resolve("alice.example.com").unwrap_err();
        let too_many = NoWellKnown::Answer(WellKnownError::TooManyRedirects);
        let expected = HandleError::NotFound { dns: NoTxt::NoRecord, https: too_many };
        assert_eq!(why, ResolveError::Handle(expected));
        assert_eq!(script.asked().len(), 5);
    }

    #[test]
    fn a_handle_that_fails_both_ways_says_both() {
        let servfail = TxtError::Failed("SERVFAIL".to_owned());
        for (script, text, is_timeout) in [
            (
                Script::default().fails(WELL_KNOWN, HttpErrorKind::Blocked),
                "handle does not resolve: by DNS, there is no TXT record of a DID; \
                 by HTTPS, address not allowed: scripted",
                false,
            ),
            (
                Script::default().txt_fails(servfail).fails(WELL_KNOWN, HttpErrorKind::Connect),
                "handle does not resolve: by DNS, the name server failed: SERVFAIL; \
                 by HTTPS, no connection: scripted",
                false,
            ),
            (
                Script::default().says(WELL_KNOWN, 200, "<html>"),
                "handle does not resolve: by DNS, there is no TXT record of a DID; \
                 by HTTPS, the host answers /.well-known/atproto-did with a web page",
                false,
            ),
            (
                Script::default().txt_fails(TxtError::Timeout).says(WELL_KNOWN, 404, ""),
                "handle does not resolve: by DNS, the name server did not answer in time; \
                 by HTTPS, the host has no /.well-known/atproto-did",
                true,
            ),
            (
                Script::default().fails(WELL_KNOWN, HttpErrorKind::AnswerTimeout),
                "handle does not resolve: by DNS, there is no TXT record of a DID; \
                 by HTTPS, no answer in time: scripted",
                true,
            ),
        ] {
            let why = script.resolve("alice.example.com").unwrap_err();
            assert!(matches!(why, ResolveError::Handle(HandleError::NotFound { .. })));
            assert_eq!((why.to_string().as_str(), why.is_timeout()), (text, is_timeout));
        }
    }

    #[test]
    fn r40_a_document_must_claim_the_handle_that_led_to_it() {
        for (handles, text) in [
            (&["mallory.example.com"][..], "mallory.example.com instead"),
            (&["mallory.example.com", "alice.example.com"], "mallory.example.com instead"),
            (&[], "no handle"),
        ] {
            let script = Script::good().says(DOCUMENT, 200, document(handles, "https://pds.example.com"));
            let why = script.resolve("alice.example.com").unwrap_err();
            assert!(matches!(why, ResolveError::NotClaimed { .. }));
            assert_eq!(
                why.to_string(),
                format!("handle alice.example.com points to {DID}, whose document claims {text}")
            );
        }
    }

    #[test]
    fn r41_from_a_did_an_unverified_handle_is_no_error() {
        assert_eq!(Script::good().resolve(DID).unwrap().shown_handle(), "alice.example.com");
        for script in [
            Script::good().txt("alice.example.com", &["did=did:web:example.com"]),
            Script::good().txt("alice.example.com", &[]),
            Script::good().txt_fails(TxtError::Timeout),
            Script::good().document("alice.local"),
            Script::good().says(DOCUMENT, 200, document(&[], "https://pds.example.com")),
        ] {
            let identity = script.resolve(DID).unwrap();
            assert_eq!((identity.shown_handle(), &identity.handle), ("handle.invalid", &None));
            assert_eq!(identity.pds.as_str(), "https://pds.example.com");
        }
    }

    #[test]
    fn r43_r44_failures_of_a_did_are_told_apart() {
        let refused = |why| ResolveError::Did(DidError::Answer(why));
        for (script, why) in [
            (Script::good().says(DOCUMENT, 404, ""), refused(DidDocumentError::NotFound)),
            (Script::good().says(DOCUMENT, 410, ""), refused(DidDocumentError::Tombstoned)),
            (Script::good().says(DOCUMENT, 503, ""), refused(DidDocumentError::Refused(503))),
            (Script::good().goes(DOCUMENT, "https://a.com"), refused(DidDocumentError::Refused(302))),
            (
                Script::good().says(DOCUMENT, 200, r#"{"id": "did:web:example.com"}"#),
                refused(DidDocumentError::Invalid(InvalidDidDocument::OtherId)),
            ),
            (
                Script::good().says(DOCUMENT, 200, format!(r#"{{"id": "{DID}"}}"#)),
                ResolveError::Pds { did: DID.parse().unwrap(), cause: InvalidPds::Missing },
            ),
            (
                Script::good().says(DOCUMENT, 200, document(&[], "http://pds.example.com")),
                ResolveError::Pds {
                    did: DID.parse().unwrap(),
                    cause: InvalidPds::Endpoint(InvalidServerOrigin::NotHttps),
                },
            ),
        ] {
            assert_eq!(script.resolve(DID).unwrap_err(), why);
            assert!(!why.is_timeout());
        }
        for (kind, is_timeout) in [(HttpErrorKind::Connect, false), (HttpErrorKind::ConnectTimeout, true)] {
            let why = Script::good().fails(DOCUMENT, kind).resolve("alice.example.com").unwrap_err();
            assert!(matches!(why, ResolveError::Did(DidError::Unreachable(_))));
            assert_eq!(why.is_timeout(), is_timeout);
        }
        let why = Script::good().resolve("did:key:zQ3sh").unwrap_err();
        let method = UnusableDid::UnsupportedMethod("key".to_owned());
        assert_eq!(why, ResolveError::Did(DidError::Unusable(method)));
    }

    #[test]
    fn r45_did_web_is_asked_of_its_host() {
        let url = "https://example.com/.well-known/did.json";
        let body =
            document(&["alice.example.com"], "https://pds.example.com").replace(DID, "did:web:example.com");
        let script =
            Script::default().txt("alice.example.com", &["did=did:web:example.com"]).says(url, 200, body);
        assert_eq!(script.resolve("did:web:example.com").unwrap().shown_handle(), "alice.example.com");
        assert_eq!(script.resolve("alice.example.com").unwrap().did.as_str(), "did:web:example.com");
    }
}
