//! Providers whose one document is that of many issuers, one for each tenant.

use bytes::Bytes;
use http::Response;
use serde_json::Value;
use vestibule_dpop::{Compact, JwkEntry, JwkSet};
use vestibule_oauth_core::Issuer;

use crate::id_token::{IdToken, InvalidIdToken};

/// The tenants of a provider that has one document for all of them. Each is an issuer of its own: the template with the tenant's id in it,
/// which an ID token names in `tid`.
///
/// ```
/// use vestibule_strategy::Tenants;
///
/// let tenants = Tenants::new("https://login.microsoftonline.com/{tenantid}/v2.0");
/// let ours = "72f988bf-86f1-41af-91ab-2d7cd011db47";
/// assert_eq!(tenants.issuer(ours).unwrap(), format!("https://login.microsoftonline.com/{ours}/v2.0"));
/// assert_eq!(tenants.issuer("common"), None, "a tenant is a GUID");
/// let (other, tenants) = ("9188040d-6c67-4c5b-b112-36a304b66dad", tenants.only([ours.to_owned()]));
/// assert!(tenants.lets_in(&tenants.issuer(ours).unwrap()) && !tenants.lets_in(&tenants.issuer(other).unwrap()));
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Tenants {
    template: String,
    allowed: Option<Vec<String>>,
    refused: Vec<String>,
}

/// What stands for the tenant's id.
const PLACE: &str = "{tenantid}";

impl Tenants {
    /// All tenants of this template, which says `{tenantid}` where the id is.
    pub fn new(template: impl Into<String>) -> Self {
        Self { template: template.into(), allowed: None, refused: Vec::new() }
    }

    /// Only these tenants: people of all others are refused.
    pub fn only(mut self, ids: impl IntoIterator<Item = String>) -> Self {
        self.allowed = Some(ids.into_iter().map(|id| self.at(&id)).collect());
        self
    }

    /// Not this tenant, whichever others.
    pub fn but_not(mut self, id: &str) -> Self {
        self.refused.push(self.at(id));
        self
    }

    /// The issuer that a tenant is; `None` for what is no tenant's id.
    pub fn issuer(&self, id: &str) -> Option<String> {
        is_guid(id).then(|| self.at(id))
    }

    /// Whether people of this issuer may sign in.
    pub fn lets_in(&self, issuer: &str) -> bool {
        let is = |known: &String| known == issuer;
        self.allowed.as_ref().is_none_or(|allowed| allowed.iter().any(is)) && !self.refused.iter().any(is)
    }

    /// The keys that may sign for this issuer: its own, those of all tenants, and those that say nothing. A key of one tenant signs for no
    /// other.
    pub(crate) fn keys_of(&self, issuer: &str, keys: &JwkSet) -> JwkSet {
        let theirs =
            |entry: &&JwkEntry| entry.issuer().is_none_or(|owner| owner == issuer || owner == self.template);
        keys.entries().iter().filter(theirs).cloned().collect()
    }

    fn at(&self, id: &str) -> String {
        self.template.replace(PLACE, &id.to_ascii_lowercase())
    }

    /// The issuer that a token may have, by the tenant that it names. Nothing of the token is verified yet, and nothing is believed: the
    /// signature covers both.
    pub(crate) fn issuer_of(&self, token: &str) -> Result<String, InvalidIdToken> {
        let jws = Compact::parse(token, IdToken::MAX_OCTETS).map_err(InvalidIdToken::Jws)?;
        let claims: Value = serde_json::from_slice(jws.payload()).map_err(|_| InvalidIdToken::Tenant)?;
        let id = claims.get("tid").and_then(Value::as_str).ok_or(InvalidIdToken::Tenant)?;
        self.issuer(id).ok_or(InvalidIdToken::Tenant)
    }

    /// The document as if `issuer`, at whose address it is published, were its issuer, if its issuer is the template; any other is left as
    /// it is, and is somebody else's.
    pub(crate) fn as_of(&self, issuer: &Issuer, answer: Response<Bytes>) -> Response<Bytes> {
        let (parts, body) = answer.into_parts();
        let body = match serde_json::from_slice::<Value>(&body) {
            Ok(Value::Object(mut document))
                if document.get("issuer") == Some(&Value::from(&*self.template)) =>
            {
                document.insert("issuer".to_owned(), issuer.as_str().into());
                Bytes::from(Value::from(document).to_string())
            }
            _ => body,
        };
        Response::from_parts(parts, body)
    }
}

/// Whether a text is a GUID, as in `72f988bf-86f1-41af-91ab-2d7cd011db47`.
pub(crate) fn is_guid(text: &str) -> bool {
    let lengths = text.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]) && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}
