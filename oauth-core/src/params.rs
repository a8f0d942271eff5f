//! Request parameters, read strictly: `application/x-www-form-urlencoded`, as a body or as a query.
//!
//! A request that can be read in two ways is read in two ways by somebody: one server takes the first of two `code`
//! parameters, its proxy the second. So a repeat, a broken escape, text that is not UTF-8 and a request that is too large
//! are errors here, never guesses.

use std::borrow::Cow;

use thiserror::Error;

/// What a set of parameters is held to.
///
/// ```
/// use vestibule_oauth_core::{FormRules, Params, ParamsError};
///
/// // RFC 8707 lets `resource` be given more than once; nothing else may be.
/// let rules = FormRules::DEFAULT.with_repeatable(&["resource"]);
/// let params = Params::parse(b"resource=https%3A%2F%2Fa&resource=https%3A%2F%2Fb", &rules).unwrap();
/// assert_eq!(params.all("resource").collect::<Vec<_>>(), ["https://a", "https://b"]);
///
/// assert_eq!(
///     Params::parse(b"code=1&code=2", &rules).unwrap_err(),
///     ParamsError::Repeated(String::from("code")),
/// );
/// ```
#[derive(Clone, Copy, Debug)]
pub struct FormRules {
    max_octets: usize,
    max_params: usize,
    repeatable: &'static [&'static str],
}

impl FormRules {
    /// 16 KiB and 64 parameters, none of them twice: a token request with a client assertion and a DPoP-bound refresh
    /// token is below 4 KiB.
    pub const DEFAULT: Self = Self { max_octets: 16 * 1024, max_params: 64, repeatable: &[] };

    /// The same rules with another limit on the whole text, in octets.
    #[must_use]
    pub const fn with_max_octets(mut self, octets: usize) -> Self {
        self.max_octets = octets;
        self
    }

    /// The same rules with these parameters allowed more than once.
    #[must_use]
    pub const fn with_repeatable(mut self, names: &'static [&'static str]) -> Self {
        self.repeatable = names;
        self
    }
}

/// Parameters, in the order they came. Borrowed from the text wherever it held no escapes.
///
/// ```
/// use vestibule_oauth_core::{FormRules, Params};
///
/// let params = Params::parse(b"handle=alice.test&return_to=%2Fhome+page&prompt=", &FormRules::DEFAULT).unwrap();
/// assert_eq!(params.value("return_to"), Some("/home page"));
/// assert_eq!(params.value("prompt"), None); // sent without a value: as if omitted (RFC 6749, section 3.1)
/// assert!(params.names().any(|name| name == "prompt"));
/// ```
#[derive(Clone, Default)]
pub struct Params<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Params<'a> {
    /// Reads a form body or a query (without its `?`).
    ///
    /// Empty pieces between two `&` carry nothing and are passed over; a name without `=` has an empty value.
    ///
    /// # Errors
    /// The first rule that is broken. No error holds a value, since a value may be a secret.
    pub fn parse(text: &'a [u8], rules: &FormRules) -> Result<Self, ParamsError> {
        if text.len() > rules.max_octets {
            return Err(ParamsError::TooLarge { limit: rules.max_octets });
        }
        let mut params: Vec<(Cow<'a, str>, Cow<'a, str>)> = Vec::new();
        for pair in text.split(|&b| b == b'&').filter(|pair| !pair.is_empty()) {
            let mut halves = pair.splitn(2, |&b| b == b'=');
            let name = decode(halves.next().unwrap_or_default(), "a parameter's name")?;
            let value = decode(halves.next().unwrap_or_default(), &name)?;
            if name.is_empty() {
                return Err(ParamsError::NoName);
            }
            if params.len() == rules.max_params {
                return Err(ParamsError::TooMany { limit: rules.max_params });
            }
            let repeated = params.iter().any(|(known, _)| *known == name);
            if repeated && !rules.repeatable.contains(&&*name) {
                return Err(ParamsError::Repeated(shown(&name)));
            }
            params.push((name, value));
        }
        Ok(Self(params))
    }

    /// The value of `name`, or `None` if it is absent or empty.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// Every value of `name` that is not empty, for the few parameters that may be repeated.
    pub fn all<'s>(&'s self, name: &str) -> impl Iterator<Item = &'s str> {
        self.0
            .iter()
            .filter(move |(known, value)| known == name && !value.is_empty())
            .map(|(_, value)| &**value)
    }

    /// Names and values as they were sent, empty values included.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// The names that were sent, empty values included.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| &**name)
    }

    /// The same parameters, free of the text they were read from.
    pub fn into_owned(self) -> Params<'static> {
        Params(
            self.0
                .into_iter()
                .map(|(n, v)| (Cow::Owned(n.into_owned()), Cow::Owned(v.into_owned())))
                .collect(),
        )
    }
}

impl std::fmt::Debug for Params<'_> {
    /// Shows the names; any value may be a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

/// Which rule a form or a query breaks.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ParamsError {
    /// The text is longer than it may be.
    #[error("the parameters are larger than {limit} octets")]
    TooLarge {
        /// The limit, in octets.
        limit: usize,
    },
    /// There are more parameters than there may be.
    #[error("there are more than {limit} parameters")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// A parameter that may be sent once was sent again (RFC 6749, section 3.1).
    #[error("parameter {0} is sent more than once")]
    Repeated(String),
    /// A `%` that two hexadecimal digits do not follow.
    #[error("{0} holds a % that is not followed by two hexadecimal digits")]
    BadEscape(String),
    /// What the escapes stand for is not UTF-8.
    #[error("{0} is not UTF-8")]
    NotUtf8(String),
    /// An octet that an encoded form never holds: white space, a control character, or raw non-ASCII text.
    #[error("{0} holds a character that must be percent-encoded")]
    NotEncoded(String),
    /// A piece like `=value`.
    #[error("a parameter has no name")]
    NoName,
}

fn decode<'a>(text: &'a [u8], what: &str) -> Result<Cow<'a, str>, ParamsError> {
    let seen = text.iter().fold(0, |seen, &b| seen | CLASSES.get(usize::from(b)).copied().unwrap_or(NEVER));
    if seen & NEVER != 0 {
        return Err(ParamsError::NotEncoded(shown(what)));
    }
    if seen & ENCODED == 0 {
        let plain = std::str::from_utf8(text).map_err(|_| ParamsError::NotUtf8(shown(what)))?;
        return Ok(Cow::Borrowed(plain));
    }
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(&b) = rest.next() {
        octets.push(match b {
            b'+' => b' ',
            b'%' => {
                let high = rest.next().and_then(|&b| hex(b));
                let low = rest.next().and_then(|&b| hex(b));
                match (high, low) {
                    (Some(high), Some(low)) => (high << 4) | low,
                    _ => return Err(ParamsError::BadEscape(shown(what))),
                }
            }
            b => b,
        });
    }
    String::from_utf8(octets).map(Cow::Owned).map_err(|_| ParamsError::NotUtf8(shown(what)))
}

/// An octet that no encoded form holds.
const NEVER: u8 = 1;
/// An octet that stands for something else, or begins what does.
const ENCODED: u8 = 2;

/// What each octet is: every one of a form is looked at once.
const CLASSES: [u8; 256] = classes();

#[allow(
    clippy::indexing_slicing,
    reason = "computed when the crate is compiled: an index out of bounds does not compile"
)]
const fn classes() -> [u8; 256] {
    let mut classes = [NEVER; 256];
    let mut b = b'!';
    while b <= b'~' {
        classes[b as usize] = if b == b'%' || b == b'+' { ENCODED } else { 0 };
        b += 1;
    }
    classes
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// A name as an error may show it: short, and without characters that a log or a page could take for its own.
fn shown(name: &str) -> String {
    name.chars().take(SHOWN_CHARS).map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect()
}

/// The longest registered parameter name has 29 characters.
const SHOWN_CHARS: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<(String, String)>, ParamsError> {
        let params = Params::parse(text.as_bytes(), &FormRules::DEFAULT)?;
        Ok(params.0.into_iter().map(|(n, v)| (n.into_owned(), v.into_owned())).collect())
    }

    #[test]
    fn reads_what_encoders_write() {
        for (text, expected) in [
            ("", vec![]),
            ("a=1", vec![("a", "1")]),
            ("a=1&&b=2&", vec![("a", "1"), ("b", "2")]),
            ("a", vec![("a", "")]),
            ("a=b=c", vec![("a", "b=c")]),
            ("a=%C3%A9+%2B", vec![("a", "é +")]),
            ("%61=1", vec![("a", "1")]),
        ] {
            let expected: Vec<_> = expected.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
            assert_eq!(parse(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn r74_refuses_what_can_be_read_in_two_ways() {
        let named = |name: &str| name.to_owned();
        for (text, why) in [
            ("code=1&code=2", ParamsError::Repeated(named("code"))),
            ("code=1&%63ode=2", ParamsError::Repeated(named("code"))),
            ("code=&code=2", ParamsError::Repeated(named("code"))),
            ("code=%", ParamsError::BadEscape(named("code"))),
            ("code=%4", ParamsError::BadEscape(named("code"))),
            ("code=%zz", ParamsError::BadEscape(named("code"))),
            ("code=%+1", ParamsError::BadEscape(named("code"))),
            ("code=%ff", ParamsError::NotUtf8(named("code"))),
            ("code=a b", ParamsError::NotEncoded(named("code"))),
            ("code=é", ParamsError::NotEncoded(named("code"))),
            ("code=1\r\n", ParamsError::NotEncoded(named("code"))),
            ("=1", ParamsError::NoName),
        ] {
            assert_eq!(parse(text).unwrap_err(), why, "{text}");
        }
    }

    #[test]
    fn is_bounded() {
        let long = format!("a={}", "x".repeat(16 * 1024));
        assert_eq!(parse(&long).unwrap_err(), ParamsError::TooLarge { limit: 16 * 1024 });
        let many: String = (0..65).map(|i| format!("p{i}=&")).collect();
        assert_eq!(parse(&many).unwrap_err(), ParamsError::TooMany { limit: 64 });
    }

    #[test]
    fn errors_and_debug_hold_no_value() {
        let error = parse("code=secret%").unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
        let params = Params::parse(b"code=secret", &FormRules::DEFAULT).unwrap();
        assert_eq!(format!("{params:?}"), r#"{"code"}"#);
        let wild = parse("%3Cscript%3E%0a=1&%3Cscript%3E%0a=2").unwrap_err();
        assert_eq!(wild, ParamsError::Repeated("<script>?".to_owned()));
    }
}
