//! The pages people see. Plain HTML from templates, no scripts.

use std::time::Duration;

use minijinja::value::{Serde, Value};
use minijinja::{Environment, context};
use serde::Serialize;
use vestibule_atproto_identity::Handle;
use vestibule_atproto_identity::login::SessionRecord;
use vestibule_oauth_core::UnixTime;

use crate::providers::Button;

/// The templates, loaded.
#[derive(Debug)]
pub(crate) struct Pages(Environment<'static>);

/// The stylesheet, served at `/assets/style.css`.
pub(crate) const STYLE: &str = include_str!("../templates/style.css");

const TEMPLATES: [(&str, &str); 6] = [
    ("layout.html", include_str!("../templates/layout.html")),
    ("sign-in.html", include_str!("../templates/sign-in.html")),
    ("signed-in.html", include_str!("../templates/signed-in.html")),
    ("consent.html", include_str!("../templates/consent.html")),
    ("device.html", include_str!("../templates/device.html")),
    ("notice.html", include_str!("../templates/notice.html")),
];

/// What the sign-in page shows.
#[derive(Debug, Default, Serialize)]
pub(crate) struct SignIn<'a> {
    /// What was typed before.
    pub(crate) handle: &'a str,
    /// Where the person wanted to go.
    pub(crate) return_to: Option<&'a str>,
    /// The app that wants to know who they are.
    pub(crate) client: Option<&'a str>,
    /// What went wrong the last time.
    pub(crate) problem: Option<Problem<'a>>,
}

/// What went wrong.
#[derive(Debug, Serialize)]
pub(crate) struct Problem<'a> {
    /// In words for the person.
    pub(crate) sentence: &'a str,
    /// The stable code, to be told to whoever helps.
    pub(crate) code: &'a str,
}

/// What the consent page shows: one form with two buttons.
#[derive(Debug, Serialize)]
pub(crate) struct Asked<'a> {
    /// Who asks, as the operator named it.
    pub(crate) client: &'a str,
    pub(crate) client_id: &'a str,
    /// Where the answer goes, as a person can tell.
    pub(crate) place: String,
    /// Where the form goes, and what it brings besides the decision.
    pub(crate) action: &'static str,
    pub(crate) field: (&'static str, &'a str),
    pub(crate) scopes: Vec<String>,
    pub(crate) resources: &'a [String],
    /// Who is asked.
    pub(crate) subject: &'a str,
    pub(crate) person: String,
}

/// What the page shows where a device's code is typed.
#[derive(Debug, Serialize)]
pub(crate) struct DeviceCode<'a> {
    pub(crate) typed: &'a str,
    pub(crate) problem: Option<Problem<'a>>,
}

/// An app that a person has let in.
#[derive(Debug, Serialize)]
pub(crate) struct Connection {
    pub(crate) grant: String,
    pub(crate) name: String,
    pub(crate) scopes: Vec<String>,
}

/// A way the person signs in.
#[derive(Debug, Serialize)]
pub(crate) struct LinkedIdentity {
    /// What people call the provider.
    pub(crate) label: String,
    /// What the person is called there.
    pub(crate) name: String,
    pub(crate) realm: String,
    pub(crate) uid: String,
    /// Whether another is left without it.
    pub(crate) may_go: bool,
}

/// What the signed-in page shows of the session at the person's own server.
#[derive(Debug, Serialize)]
pub(crate) struct PersonsServer {
    /// The verified handle.
    handle: Option<String>,
    did: String,
    pds: String,
    scopes: Vec<String>,
    /// When the access token ends, in words.
    expires: Option<String>,
}

impl PersonsServer {
    pub(crate) fn of(record: &SessionRecord, now: UnixTime) -> Self {
        Self {
            handle: record.handle.as_ref().map(Handle::to_string),
            did: record.key.did().to_string(),
            pds: record.pds.to_string(),
            scopes: record.scope.iter().map(str::to_owned).collect(),
            expires: record.expires_at.map(|end| in_words(end.since(now))),
        }
    }
}

/// What the signed-in page shows.
#[derive(Debug, Serialize)]
pub(crate) struct SignedIn {
    /// What the person is called here.
    pub(crate) person: String,
    /// The name the person goes by, where their server tells it.
    pub(crate) display_name: Option<String>,
    /// The account's name for ever.
    pub(crate) account: String,
    pub(crate) server: Option<PersonsServer>,
    pub(crate) identities: Vec<LinkedIdentity>,
    /// The apps that they have let in.
    pub(crate) connections: Vec<Connection>,
}

impl Pages {
    /// The pages, with a button for each of these providers.
    pub(crate) fn load(providers: &[Button]) -> Result<Self, minijinja::Error> {
        let mut environment = Environment::new();
        environment.add_global("providers", Value::from(Serde(providers.to_vec())));
        for (name, source) in TEMPLATES {
            environment.add_template(name, source)?;
        }
        Ok(Self(environment))
    }

    pub(crate) fn sign_in(&self, page: &SignIn<'_>) -> String {
        self.render("sign-in.html", Value::from(Serde(page)))
    }

    pub(crate) fn signed_in(&self, page: &SignedIn) -> String {
        self.render("signed-in.html", Value::from(Serde(page)))
    }

    pub(crate) fn consent(&self, page: &Asked<'_>) -> String {
        self.render("consent.html", Value::from(Serde(page)))
    }

    pub(crate) fn device(&self, page: &DeviceCode<'_>) -> String {
        self.render("device.html", Value::from(Serde(page)))
    }

    /// A page that says one thing: what happened, and where to go from here.
    pub(crate) fn notice(&self, title: &str, sentence: &str, code: Option<&str>) -> String {
        self.render("notice.html", context! { title, sentence, code })
    }

    fn render(&self, name: &str, page: Value) -> String {
        let rendered = self.0.get_template(name).and_then(|template| template.render(page));
        rendered.unwrap_or_else(|error| {
            tracing::error!(%error, template = name, "a template cannot be rendered");
            "<!doctype html><title>Vestibule</title><p>This page cannot be shown. Tell whoever runs this site.".to_owned()
        })
    }
}

/// A span to come, for people: "in 5 minutes".
fn in_words(span: Duration) -> String {
    let plural = |count: u64, unit: &str| format!("in {count} {unit}{}", if count == 1 { "" } else { "s" });
    match span.as_secs() {
        0..60 => "within a minute".to_owned(),
        seconds @ 60..3600 => plural(seconds / 60, "minute"),
        seconds => plural(seconds / 3600, "hour"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stranger_wrote_stays_text() {
        let button =
            Button { provider: "sso".to_owned(), label: "<i>SSO".to_owned(), action: "/auth/sso".to_owned() };
        let pages = Pages::load(&[button]).unwrap();
        let problem = Some(Problem { sentence: "<b>no</b>", code: "invalid_handle" });
        let wild = "\"><script>alert(1)</script>";
        let page = SignIn { handle: wild, return_to: Some("/a?b=\"c\""), client: Some(wild), problem };
        let html = pages.sign_in(&page);
        assert!(!html.contains("<script>") && !html.contains("<b>no"), "{html}");
        assert!(html.contains("&lt;b&gt;no") && html.contains("&lt;i&gt;SSO"));
    }
}
