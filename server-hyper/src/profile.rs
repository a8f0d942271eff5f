//! The name a person goes by, where their own server tells it.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http::header::ACCEPT;
use serde::Deserialize;
use url::form_urlencoded::Serializer;
use vestibule_atproto_identity::ServerOrigin;
use vestibule_atproto_identity::cache::{Cache, CacheLimits};
use vestibule_oauth_core::{HttpCall, HttpClient, Trust, UnixTime};

/// Display names by DID, remembered for five minutes. A server that does not answer within two seconds has none: the page
/// is shown without.
pub(crate) struct Profiles(Cache<String, Option<String>, ()>);

const LIMITS: CacheLimits =
    CacheLimits { entries: 1_000, keep: Duration::from_secs(300), keep_error: Duration::from_secs(30) };

/// The longest display name shown, in characters; the lexicon allows 64 graphemes.
const MAX_NAME: usize = 64;

impl Profiles {
    pub(crate) const fn new() -> Self {
        Self(Cache::new(LIMITS))
    }

    pub(crate) async fn display_name(
        &self,
        did: &str,
        pds: &ServerOrigin,
        now: UnixTime,
        http: &dyn HttpClient,
    ) -> Option<String> {
        self.0.look_up(did.to_owned(), now, || ask(did, pds, http)).await.ok().flatten()
    }
}

async fn ask(did: &str, pds: &ServerOrigin, http: &dyn HttpClient) -> Result<Option<String>, ()> {
    #[derive(Deserialize)]
    struct Record {
        value: Profile,
    }
    #[derive(Deserialize)]
    struct Profile {
        #[serde(rename = "displayName")]
        display_name: Option<String>,
    }
    let query = Serializer::new(String::new())
        .extend_pairs([("repo", did), ("collection", "app.bsky.actor.profile"), ("rkey", "self")])
        .finish();
    let url = pds.join(&format!("/xrpc/com.atproto.repo.getRecord?{query}"));
    let request = Request::get(url).header(ACCEPT, "application/json").body(Bytes::new()).map_err(drop)?;
    let call = HttpCall::new(request, "profile", Trust::UserSupplied).with_timeout(Duration::from_secs(2));
    let response = http.send(call).await.map_err(drop)?;
    if !response.status().is_success() {
        return Ok(None);
    }
    let record: Option<Record> = serde_json::from_slice(response.body()).ok();
    let name = record.and_then(|record| record.value.display_name).unwrap_or_default();
    let shown: String = name.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect();
    Ok(Some(shown.trim().to_owned()).filter(|name| !name.is_empty()))
}
