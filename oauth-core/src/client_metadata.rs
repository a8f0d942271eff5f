//! Client metadata: the document a client publishes or registers, and the review that finds everything wrong with one.
//!
//! [`ClientMetadata`] writes a document ([`ClientMetadata::to_json`]). [`read`] reads one that somebody else wrote, and
//! [`review`] says what is wrong with it, under a named [`RuleSet`]; both are pure, take any bytes, and report every
//! finding at once. Fetching the document is the business of the caller, who may tell how that went ([`Fetched`]).
//!
//! ```
//! use vestibule_oauth_core::client_metadata::{self, Fetched, RuleSet};
//! use vestibule_oauth_core::{ClientMetadata, Level};
//!
//! let id = "https://app.example.com/client-metadata.json";
//! let metadata = ClientMetadata::atproto_public(
//!     id.parse().unwrap(),
//!     vec!["https://app.example.com/callback".parse().unwrap()],
//!     "atproto transition:generic".parse().unwrap(),
//! );
//! let document = metadata.to_json();
//! let fetched = Fetched::new(id, 200, Some("application/json"));
//! assert!(client_metadata::review(document.as_bytes(), Some(&fetched), RuleSet::Atproto).is_empty());
//!
//! // The same document at another place: one finding, with its rule and what to do.
//! let fetched = Fetched::new("https://app.example.com/oauth.json", 200, Some("application/json"));
//! let findings = client_metadata::review(document.as_bytes(), Some(&fetched), RuleSet::Atproto);
//! assert_eq!((findings[0].rule, findings[0].level), ("R3", Level::Error));
//! ```

mod atproto;
pub(crate) mod document;
mod draft;
mod generic;
pub(crate) mod jwks;
pub(crate) mod loopback;

use crate::client_metadata::document::ClientMetadata;
use crate::client_metadata::draft::Draft;
use crate::finding::{Finding, Findings};

pub(crate) use crate::client_metadata::atproto::document_url;

/// The rules a document is held to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum RuleSet {
    /// [RFC 7591], with what OAuth 2.1 and [RFC 9700] say of redirect URIs and grants.
    ///
    /// [RFC 7591]: https://www.rfc-editor.org/rfc/rfc7591#section-2
    /// [RFC 9700]: https://www.rfc-editor.org/rfc/rfc9700
    Generic,
    /// The AT Protocol's OAuth profile (requirements R1 to R18), and what its reference server refuses beyond it.
    Atproto,
}

/// How the document was had.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Fetched {
    /// The URL that was asked, as it was written.
    pub url: String,
    /// The status of the answer, without any redirect followed.
    pub status: u16,
    /// The `Content-Type` of the answer.
    pub content_type: Option<String>,
}

impl Fetched {
    /// An answer of this status and content type, from this URL.
    pub fn new(url: &str, status: u16, content_type: Option<&str>) -> Self {
        Self { url: url.to_owned(), status, content_type: content_type.map(str::to_owned) }
    }
}

/// A document that breaks no rule.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Reviewed {
    /// What it says.
    pub metadata: ClientMetadata,
    /// What some servers may not like.
    pub warnings: Vec<Finding>,
}

/// Everything that is wrong with a document, in the order of its reading. An empty list is a good document; a list of
/// warnings alone is one that servers take.
pub fn review(document: &[u8], fetched: Option<&Fetched>, rules: RuleSet) -> Vec<Finding> {
    examine(document, fetched, rules).1.into_vec()
}

/// Reads a document that breaks no rule.
///
/// # Errors
///
/// Everything that is wrong with it, warnings too, if one rule at least is broken.
pub fn read(document: &[u8], fetched: Option<&Fetched>, rules: RuleSet) -> Result<Reviewed, Vec<Finding>> {
    match examine(document, fetched, rules) {
        (Some(draft), findings) if !findings.has_errors() => {
            Ok(Reviewed { metadata: draft.into_metadata(), warnings: findings.into_vec() })
        }
        (_, findings) => Err(findings.into_vec()),
    }
}

/// The most octets of a document that are read; the AT Protocol reference server reads as many (requirement R2).
pub const MAX_OCTETS: usize = 512 * 1024;

/// The most entries of a list in a document: far more than the redirect URIs of any client seen.
pub const MAX_LIST: usize = 128;

fn examine(document: &[u8], fetched: Option<&Fetched>, rules: RuleSet) -> (Option<Draft>, Findings) {
    let mut findings = Findings::default();
    if let Some(fetched) = fetched {
        atproto::look_at_answer(fetched, rules, &mut findings);
    }
    let draft = Draft::read(document, rules, &mut findings);
    if let Some(draft) = &draft {
        match rules {
            RuleSet::Generic => generic::look_at(draft, fetched, &mut findings),
            RuleSet::Atproto => atproto::look_at(draft, fetched, &mut findings),
        }
    }
    (draft, findings)
}
