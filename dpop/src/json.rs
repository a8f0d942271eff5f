//! JSON from strangers, read strictly: every member name at most once, a bounded number of them, and `null` is a value
//! like any other (a derived reader would take `"d": null` for a key without `d`).
//!
//! Texts are borrowed where they hold no escape, so reading a header or a payload costs one small vector.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// A JSON value.
#[derive(Debug)]
pub(crate) enum Json<'de> {
    Text(Cow<'de, str>),
    Whole(u64),
    Fraction(f64),
    List(Vec<Self>),
    Object(Members<'de>),
    /// `null`, a boolean or a negative integer: nothing that is read here may be one.
    Other,
}

/// The members of one object, in the order they came.
#[derive(Debug)]
pub(crate) struct Members<'de>(Vec<(Cow<'de, str>, Json<'de>)>);

impl<'de> Members<'de> {
    /// Reads a text that is exactly one object.
    pub(crate) fn parse(json: &'de [u8]) -> Result<Self, Fault> {
        let fault = Cell::new(Fault::Syntax);
        // Once for the whole text: from octets, serde_json would ask this of every string anew, at a fifth of the time
        // that reading a proof takes beside its signature.
        let text = str::from_utf8(json).map_err(|_| Fault::Syntax)?;
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let value = Seed { fault: &fault }.deserialize(&mut deserializer).map_err(|_| fault.get())?;
        deserializer.end().map_err(|_| Fault::Syntax)?;
        match value {
            Json::Object(members) => Ok(members),
            _ => Err(Fault::Syntax),
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Json<'de>> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_ref())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The text of a member, `None` when there is no such member.
    pub(crate) fn text(&self, name: &'static str) -> Result<Option<&str>, WrongType> {
        match self.get(name) {
            None => Ok(None),
            Some(Json::Text(text)) => Ok(Some(text)),
            Some(_) => Err(WrongType(name)),
        }
    }

    /// The whole seconds of a `NumericDate`, which may have a fraction ([RFC 7519, section 2]).
    ///
    /// [RFC 7519, section 2]: https://www.rfc-editor.org/rfc/rfc7519#section-2
    pub(crate) fn seconds(&self, name: &'static str) -> Result<Option<u64>, WrongType> {
        match self.get(name) {
            None => Ok(None),
            Some(Json::Whole(seconds)) => Ok(Some(*seconds)),
            // The cast saturates and drops the fraction; negative and absurd times are no dates of ours.
            Some(Json::Fraction(seconds)) if (0.0..1e15).contains(seconds) => Ok(Some(*seconds as u64)),
            Some(_) => Err(WrongType(name)),
        }
    }
}

/// Why a text is not read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// Not JSON, not UTF-8, not one object, or nested too deeply.
    Syntax,
    /// A member name twice in one object.
    Duplicate,
    /// More than [`MAX_ITEMS`] members or elements.
    TooMany,
}

/// The member is there, and is of another JSON type than it should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct WrongType(pub(crate) &'static str);

/// Appends `text` as a JSON string, quotes included.
pub(crate) fn write_text(text: &str, out: &mut String) {
    out.push('"');
    if text.bytes().any(|b| b < 0x20 || b == b'"' || b == b'\\') {
        for c in text.chars() {
            match c {
                '"' | '\\' => out.extend(['\\', c]),
                '\0'..='\x1f' => {
                    let hex = |n: u32| char::from_digit(n, 16).unwrap_or('0');
                    out.push_str("\\u00");
                    out.extend([hex(u32::from(c) >> 4), hex(u32::from(c) & 0xf)]);
                }
                _ => out.push(c),
            }
        }
    } else {
        out.push_str(text);
    }
    out.push('"');
}

/// The most members of one object or elements of one list. A DPoP proof has 9 claims; the largest key set of the big
/// identity providers has some ten keys.
const MAX_ITEMS: usize = 128;

#[derive(Clone, Copy)]
struct Seed<'s> {
    fault: &'s Cell<Fault>,
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Json<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Json::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Json::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Json::Whole(number))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Json::Other)
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Json::Fraction(number))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Json::Other)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Json::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = seq.next_element_seed(self)? {
            if list.len() == MAX_ITEMS {
                self.fault.set(Fault::TooMany);
                return Err(A::Error::custom("too many elements"));
            }
            list.push(value);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members: Vec<(Cow<'de, str>, Json<'de>)> = Vec::with_capacity(8);
        while let Some(name) = map.next_key_seed(Name)? {
            let fault = if members.len() == MAX_ITEMS {
                Some(Fault::TooMany)
            } else if members.iter().any(|(n, _)| *n == name) {
                Some(Fault::Duplicate)
            } else {
                None
            };
            if let Some(fault) = fault {
                self.fault.set(fault);
                return Err(A::Error::custom("refused member"));
            }
            members.push((name, map.next_value_seed(self)?));
        }
        Ok(Json::Object(Members(members)))
    }
}

/// A member name, borrowed if it can be.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member name")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults() {
        let many = format!("{{{}}}", (0..200).map(|n| format!("\"{n}\":0")).collect::<Vec<_>>().join(","));
        let long = format!("{{\"a\":[{}0]}}", "0,".repeat(200));
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200));
        for (json, fault) in [
            ("", Fault::Syntax),
            ("[]", Fault::Syntax),
            ("{} {}", Fault::Syntax),
            ("{\"a\":1,}", Fault::Syntax),
            ("{\"a\":1,\"a\":1}", Fault::Duplicate),
            ("{\"a\":1,\"\\u0061\":1}", Fault::Duplicate),
            ("{\"a\":{\"b\":[{\"c\":1,\"c\":null}]}}", Fault::Duplicate),
            (&many, Fault::TooMany),
            (&long, Fault::TooMany),
            (&deep, Fault::Syntax),
        ] {
            assert_eq!(Members::parse(json.as_bytes()).unwrap_err(), fault, "{json}");
        }
        assert_eq!(Members::parse(b"{\"a\":\"\xff\"}").unwrap_err(), Fault::Syntax);
    }

    #[test]
    fn members_have_one_type() {
        let members =
            Members::parse(br#"{"t":"a\n","n":7,"f":7.9,"m":-1,"h":1e300,"z":null,"b":true,"o":{}}"#)
                .unwrap();
        assert_eq!(members.text("t"), Ok(Some("a\n")));
        assert_eq!(members.text("none"), Ok(None));
        assert_eq!(members.text("z"), Err(WrongType("z")));
        assert_eq!(members.seconds("n"), Ok(Some(7)));
        assert_eq!(members.seconds("f"), Ok(Some(7)));
        for name in ["m", "h", "z", "b", "t", "o"] {
            assert_eq!(members.seconds(name), Err(WrongType(name)));
        }
        assert!(members.has("z"));
    }

    #[test]
    fn texts_are_written_as_they_will_be_read() {
        for text in ["", "plain", "a\"b\\c", "\u{0}\n\u{1f}\u{7f}é€", "https://a.example/?q=%22"] {
            let mut json = String::new();
            write_text(text, &mut json);
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text, "{json}");
        }
    }
}
