//! A person in front of a form of the application's own.

use bytes::Bytes;
use http::Response;
use url::Url;
use url::form_urlencoded::Serializer;
use vestibule_oauth_core::{BoxFuture, HttpCall, HttpClient, HttpError, HttpErrorKind};

use super::broken::Broken;
use super::callback_query::CallbackQuery;
use super::counterpart::Counterpart;

/// The [`Counterpart`] of a strategy that takes a form: what somebody types who may come in. There is no network around it.
///
/// ```
/// use vestibule_strategy::testing::{Counterpart, FakeForm};
///
/// let form = FakeForm::new([("name", "ada")]).with_secret("password", "love lace");
/// assert_eq!(form.form().as_deref(), Some("name=ada&password=love+lace"));
/// assert_eq!(form.secrets(), ["love lace"]);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct FakeForm {
    fields: Vec<(String, String)>,
    secrets: Vec<String>,
}

impl FakeForm {
    /// A form with these fields, name and value.
    pub fn new<N: Into<String>, V: Into<String>>(fields: impl IntoIterator<Item = (N, V)>) -> Self {
        let fields = fields.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { fields, secrets: Vec::new() }
    }

    /// The same with one field more, whose value is shown nowhere.
    pub fn with_secret(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let value = value.into();
        self.secrets.push(value.clone());
        self.fields.push((name.into(), value));
        self
    }
}

impl HttpClient for FakeForm {
    fn send<'a>(&'a self, call: HttpCall) -> BoxFuture<'a, Result<Response<Bytes>, HttpError>> {
        let detail = format!("a form has no network, and {} was asked", call.request.uri());
        Box::pin(std::future::ready(Err(HttpError::new(HttpErrorKind::UnknownHost, detail))))
    }
}

impl Counterpart for FakeForm {
    fn authorize(&self, to: &Url) -> Result<CallbackQuery, Broken> {
        Err(Broken::new("a form of the application's own sends nobody away", to))
    }

    fn cancel(&self, to: &Url) -> Result<CallbackQuery, Broken> {
        self.authorize(to)
    }

    fn form(&self) -> Option<String> {
        Some(Serializer::new(String::new()).extend_pairs(&self.fields).finish())
    }

    fn secrets(&self) -> Vec<String> {
        self.secrets.clone()
    }
}
