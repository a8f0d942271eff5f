//! What a browser brings back from a provider.

use http::Method;
use url::form_urlencoded::Serializer;

/// The parameters of a callback, as a provider has the browser send them: in the query, or in a form.
///
/// ```
/// use vestibule_strategy::testing::CallbackQuery;
///
/// let query = CallbackQuery::new().with("code", "c 1").with("state", "s");
/// assert_eq!(query.encoded(), "code=c+1&state=s");
/// assert_eq!(query.value("code"), Some("c 1"));
/// assert_eq!(query.without("code").encoded(), "state=s");
/// ```
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[must_use]
pub struct CallbackQuery {
    pairs: Vec<(String, String)>,
    by_form: bool,
}

impl CallbackQuery {
    /// A callback without parameters, by GET.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with one parameter more, at the end; one that is there already is there twice.
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.pairs.push((name.to_owned(), value.into()));
        self
    }

    /// The same without every parameter of this name.
    pub fn without(mut self, name: &str) -> Self {
        self.pairs.retain(|(known, _)| known != name);
        self
    }

    /// The same, as a form that the browser posts (`response_mode=form_post`).
    pub const fn by_form(mut self) -> Self {
        self.by_form = true;
        self
    }

    /// The first value of this name.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// POST for a form, otherwise GET.
    pub const fn method(&self) -> Method {
        if self.by_form { Method::POST } else { Method::GET }
    }

    /// The parameters as they are sent: the query without its `?`, or the form's body.
    pub fn encoded(&self) -> String {
        Serializer::new(String::new()).extend_pairs(&self.pairs).finish()
    }
}
