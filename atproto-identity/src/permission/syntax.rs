//! How a permission is written: a resource, perhaps a value by position, perhaps parameters by name.

use std::borrow::Cow;
use std::fmt;

use super::InvalidPermission;

/// Whether `text` is one scope value ([RFC 6749, section 3.3]).
///
/// [RFC 6749, section 3.3]: https://www.rfc-editor.org/rfc/rfc6749#section-3.3
pub(super) fn is_scope_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\')
}

/// The resource that `text` is about: what stands before the first colon or question mark.
pub(super) fn resource(text: &str) -> &str {
    text.split([':', '?']).next().unwrap_or(text)
}

/// The parameters of a permission, decoded, in order. The value that was given by position has its name here.
pub(super) struct Syntax<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Syntax<'a> {
    /// Takes `text` apart; `positional` is the name of the parameter that may be given by position.
    pub(super) fn parse(text: &'a str, positional: &'static str) -> Result<Self, InvalidPermission> {
        let (head, query) = text.split_once('?').unwrap_or((text, ""));
        let mut parameters = Vec::new();
        let by_position = head.split_once(':').map(|(_, value)| value);
        if let Some(value) = by_position {
            parameters.push((Cow::Borrowed(positional), decode(value)?));
        }
        for pair in query.split('&').filter(|_| !query.is_empty()) {
            if parameters.len() >= MAX_PARAMETERS {
                return Err(InvalidPermission::TooManyParameters);
            }
            let (name, value) = pair.split_once('=').ok_or(InvalidPermission::Parameter)?;
            let name = decode(name)?;
            if by_position.is_some() && name == positional {
                return Err(InvalidPermission::Repeated(positional));
            }
            parameters.push((name, decode(value)?));
        }
        Ok(Self(parameters))
    }

    /// Refuses parameters other than `known`.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), InvalidPermission> {
        match self.0.iter().find(|(name, _)| !known.contains(&name.as_ref())) {
            Some((name, _)) => Err(InvalidPermission::UnknownParameter(name.clone().into_owned())),
            None => Ok(()),
        }
    }

    /// Every value of `name`.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(own, _)| own == name).map(|(_, value)| value.as_ref())
    }

    /// The value of `name`, which may be given once.
    pub(super) fn one(&self, name: &'static str) -> Result<Option<&str>, InvalidPermission> {
        let mut values = self.all(name);
        let first = values.next();
        if values.next().is_some() { Err(InvalidPermission::Repeated(name)) } else { Ok(first) }
    }
}

/// Resolves percent-encoding. A plus sign stands for itself: this is no form.
fn decode(text: &str) -> Result<Cow<'_, str>, InvalidPermission> {
    if !text.contains('%') {
        return Ok(Cow::Borrowed(text));
    }
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(b) = rest.next() {
        if b == b'%' {
            let mut digit = || rest.next().and_then(|b| char::from(b).to_digit(16));
            let (Some(high), Some(low)) = (digit(), digit()) else { return Err(InvalidPermission::Escape) };
            octets.push((high * 16 + low) as u8);
        } else {
            octets.push(b);
        }
    }
    String::from_utf8(octets).map(Cow::Owned).map_err(|_| InvalidPermission::Escape)
}

/// Writes a permission: the first value by position when it is the only one of its name.
pub(super) fn write<'a>(
    f: &mut fmt::Formatter<'_>,
    resource: &str,
    positional: &str,
    values: &[&'a str],
    others: impl IntoIterator<Item = (&'static str, &'a str)>,
) -> fmt::Result {
    f.write_str(resource)?;
    let mut separator = '?';
    if let [only] = values {
        write!(f, ":{}", Encoded(only))?;
    } else {
        for value in values {
            write!(f, "{separator}{positional}={}", Encoded(value))?;
            separator = '&';
        }
    }
    for (name, value) in others {
        write!(f, "{separator}{name}={}", Encoded(value))?;
        separator = '&';
    }
    Ok(())
}

/// A value as it is printed: characters that mean something here are percent-encoded, and so is the plus sign, which a
/// server may read as in a form.
struct Encoded<'a>(&'a str);

impl fmt::Display for Encoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for b in self.0.bytes() {
            if b.is_ascii_alphanumeric() || b"-._~:/*".contains(&b) {
                write!(f, "{}", char::from(b))?;
            } else {
                write!(f, "%{b:02X}")?;
            }
        }
        Ok(())
    }
}

/// Far more collections than a person could judge on a consent page.
const MAX_PARAMETERS: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<(String, String)>, InvalidPermission> {
        let parameters = Syntax::parse(text, "main")?.0;
        Ok(parameters.into_iter().map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    #[test]
    fn r112_values_are_given_by_position_or_by_name() {
        for (text, read) in [
            ("r", &[][..]),
            ("r?", &[]),
            ("r:", &[("main", "")]),
            ("r:a", &[("main", "a")]),
            ("r:a:b#c&d?", &[("main", "a:b#c&d")]),
            ("r?main=a&main=b&x=c", &[("main", "a"), ("main", "b"), ("x", "c")]),
            ("r:a?x=b?y=c", &[("main", "a"), ("x", "b?y=c")]),
            ("r:%61?%78=%2b+=", &[("main", "a"), ("x", "++=")]),
        ] {
            let pairs: Vec<(String, String)> =
                read.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            assert_eq!(parse(text), Ok(pairs), "{text}");
        }
        for (text, why) in [
            ("r:a?main=a", InvalidPermission::Repeated("main")),
            ("r:a?m%61in=a", InvalidPermission::Repeated("main")),
            ("r?x", InvalidPermission::Parameter),
            ("r?x=a&", InvalidPermission::Parameter),
            ("r:%", InvalidPermission::Escape),
            ("r:%6", InvalidPermission::Escape),
            ("r:%+1", InvalidPermission::Escape),
            ("r:%ff", InvalidPermission::Escape),
        ] {
            assert_eq!(parse(text), Err(why), "{text}");
        }
        assert_eq!(parse(&format!("r?{}", ["x=a"; 128].join("&"))).unwrap().len(), 128);
        let many = format!("r?{}", ["x=a"; 129].join("&"));
        assert_eq!(parse(&many), Err(InvalidPermission::TooManyParameters));
    }
}
