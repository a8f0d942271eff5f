//! A JSON object being written, its members in the order they are added.

use std::fmt::Write;

use serde_json::Value;
use url::Url;

/// An object whose members come in the order they are added; those that are not there are left out, so that the
/// document one publishes says only what it means.
#[derive(Default, Debug)]
pub(crate) struct JsonObject(String);

impl JsonObject {
    pub(crate) fn value(mut self, name: &str, value: &Value) -> Self {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        // Writing into a `String` cannot fail.
        let _ = write!(self.0, "{}:{value}", Value::from(name));
        self
    }

    pub(crate) fn text(self, name: &str, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.value(name, &Value::from(text)),
            None => self,
        }
    }

    pub(crate) fn url(self, name: &str, url: Option<&Url>) -> Self {
        self.text(name, url.map(Url::as_str))
    }

    /// Written only if there are any.
    pub(crate) fn texts<'a>(self, name: &str, texts: impl IntoIterator<Item = &'a str>) -> Self {
        let texts: Vec<Value> = texts.into_iter().map(Value::from).collect();
        if texts.is_empty() { self } else { self.value(name, &Value::from(texts)) }
    }

    /// Written even if there are none: where leaving the list out means others.
    pub(crate) fn all_texts<'a>(self, name: &str, texts: impl IntoIterator<Item = &'a str>) -> Self {
        let texts: Vec<Value> = texts.into_iter().map(Value::from).collect();
        self.value(name, &Value::from(texts))
    }

    /// Written if true: false is what leaving it out means, everywhere this is used.
    pub(crate) fn flag(self, name: &str, flag: bool) -> Self {
        if flag { self.value(name, &Value::from(true)) } else { self }
    }

    pub(crate) fn finish(mut self) -> String {
        self.0.push_str(if self.0.is_empty() { "{}" } else { "}" });
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_order() {
        let text = JsonObject::default()
            .text("z", Some("\"\n"))
            .text("y", None)
            .texts("x", ["1", "2"])
            .texts("w", [])
            .all_texts("v", [])
            .flag("a", true)
            .flag("b", false)
            .finish();
        assert_eq!(text, r#"{"z":"\"\n","x":["1","2"],"v":[],"a":true}"#);
        assert_eq!(JsonObject::default().finish(), "{}");
    }
}
