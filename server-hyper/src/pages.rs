//! The pages people see. Plain HTML from templates, no scripts.

use minijinja::value::{Serde, Value};
use minijinja::{Environment, context};
use serde::Serialize;

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
    pub(crate) name: Option<&'a str>,
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

/// What the signed-in page shows.
#[derive(Debug, Serialize)]
pub(crate) struct SignedIn {
    /// The verified handle; `None` shows the DID instead.
    pub(crate) handle: Option<String>,
    /// The name the person goes by, where their server tells it.
    pub(crate) display_name: Option<String>,
    pub(crate) did: String,
    pub(crate) pds: Option<String>,
    pub(crate) scopes: Vec<String>,
    /// When the access token ends, in words.
    pub(crate) expires: Option<String>,
    /// The apps that they have let in.
    pub(crate) connections: Vec<Connection>,
}

impl Pages {
    pub(crate) fn load() -> Result<Self, minijinja::Error> {
        let mut environment = Environment::new();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stranger_wrote_stays_text() {
        let pages = Pages::load().unwrap();
        let problem = Some(Problem { sentence: "<b>no</b>", code: "invalid_handle" });
        let wild = "\"><script>alert(1)</script>";
        let page = SignIn { handle: wild, return_to: Some("/a?b=\"c\""), client: Some(wild), problem };
        let html = pages.sign_in(&page);
        assert!(!html.contains("<script>") && !html.contains("<b>no"), "{html}");
        assert!(html.contains("&lt;b&gt;no"));
    }
}
