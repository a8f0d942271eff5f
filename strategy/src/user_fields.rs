//! Where a provider's answer about a person says what.

use serde_json::Value;

use crate::auth::Info;

/// What a provider may tell about a person: the members of [`Info`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum UserField {
    /// [`Info::name`].
    Name,
    /// [`Info::first_name`].
    FirstName,
    /// [`Info::last_name`].
    LastName,
    /// [`Info::nickname`].
    Nickname,
    /// [`Info::email`].
    Email,
    /// [`Info::email_verified`]: `true` or `false`, as such or as a text.
    EmailVerified,
    /// [`Info::location`].
    Location,
    /// [`Info::description`].
    Description,
    /// [`Info::image`].
    Image,
    /// [`Info::phone`].
    Phone,
    /// [`Info::birthday`].
    Birthday,
    /// One of [`Info::urls`], by this name.
    Url(&'static str),
}

/// Where in a provider's JSON each thing about a person stands, as JSON pointers ([RFC 6901]). Where several places are named for
/// one thing, the first that has it counts.
///
/// ```
/// use serde_json::json;
/// use vestibule_strategy::{UserField, UserFields};
///
/// let fields = UserFields::new("/data/id").with(UserField::Name, "/data/full_name").with(UserField::Name, "/data/login");
/// let (uid, info) = fields.read(&json!({ "data": { "id": 42, "full_name": null, "login": "ada" } })).unwrap();
/// assert_eq!((uid.as_str(), info.name.as_deref()), ("42", Some("ada")));
/// assert!(fields.read(&json!({ "data": { "login": "ada" } })).is_none()); // nobody without a permanent name
/// ```
///
/// [RFC 6901]: https://www.rfc-editor.org/rfc/rfc6901
#[derive(Clone, Debug)]
#[must_use]
pub struct UserFields {
    uid: String,
    fields: Vec<(UserField, String)>,
}

impl UserFields {
    /// The longest permanent name taken, in octets.
    pub const MAX_UID: usize = 255;

    /// The longest text about a person taken, in octets; a longer one is left out.
    pub const MAX_TEXT: usize = 4 * 1024;

    /// The person's permanent name is here, a text or a whole number; nothing else is known. Take what never changes hands: an id,
    /// never a login or an address.
    pub fn new(uid: impl Into<String>) -> Self {
        Self { uid: uid.into(), fields: Vec::new() }
    }

    /// The claims of OpenID Connect ([Core, section 5.1]), by which many providers that speak OAuth alone go as well.
    ///
    /// [Core, section 5.1]: https://openid.net/specs/openid-connect-core-1_0.html#StandardClaims
    pub fn openid() -> Self {
        Self::new("/sub")
            .with(UserField::Name, "/name")
            .with(UserField::FirstName, "/given_name")
            .with(UserField::LastName, "/family_name")
            .with(UserField::Nickname, "/preferred_username")
            .with(UserField::Nickname, "/nickname")
            .with(UserField::Email, "/email")
            .with(UserField::EmailVerified, "/email_verified")
            .with(UserField::Image, "/picture")
            .with(UserField::Phone, "/phone_number")
            .with(UserField::Birthday, "/birthdate")
            .with(UserField::Url("profile"), "/profile")
            .with(UserField::Url("website"), "/website")
    }

    /// The same, with one more place to look.
    pub fn with(mut self, field: UserField, pointer: impl Into<String>) -> Self {
        self.fields.push((field, pointer.into()));
        self
    }

    /// The person's permanent name, and what is told about them; `None` where there is no such name.
    pub fn read(&self, user: &Value) -> Option<(String, Info)> {
        let uid = match user.pointer(&self.uid)? {
            Value::String(text) => text.clone(),
            Value::Number(number) if number.is_u64() || number.is_i64() => number.to_string(),
            _ => return None,
        };
        if !(1..=Self::MAX_UID).contains(&uid.len()) || uid.chars().any(char::is_control) {
            return None;
        }
        let mut info = Info::default();
        for (field, pointer) in &self.fields {
            if let Some(value) = user.pointer(pointer) {
                put(&mut info, *field, value);
            }
        }
        Some((uid, info))
    }
}

/// Puts a value where it belongs, unless something is there.
pub(crate) fn put(info: &mut Info, field: UserField, value: &Value) {
    let text = value.as_str().map(str::trim).filter(|text| (1..=UserFields::MAX_TEXT).contains(&text.len()));
    let slot = match field {
        UserField::Name => &mut info.name,
        UserField::FirstName => &mut info.first_name,
        UserField::LastName => &mut info.last_name,
        UserField::Nickname => &mut info.nickname,
        UserField::Email => &mut info.email,
        UserField::Location => &mut info.location,
        UserField::Description => &mut info.description,
        UserField::Image => &mut info.image,
        UserField::Phone => &mut info.phone,
        UserField::Birthday => &mut info.birthday,
        UserField::EmailVerified => {
            let said = value.as_bool().or_else(|| text.and_then(|text| text.parse().ok()));
            info.email_verified = info.email_verified.or(said);
            return;
        }
        UserField::Url(name) => {
            if let Some(url) = text {
                info.urls.entry(name.to_owned()).or_insert_with(|| url.to_owned());
            }
            return;
        }
    };
    if slot.is_none() {
        *slot = text.map(str::to_owned);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn s4_a_person_is_read_from_any_shape() {
        let user = json!({
            "sub": "u-1", "name": " Ada Lovelace ", "given_name": "Ada", "email": "ada@example.com", "email_verified": "true",
            "picture": "https://img.example/a", "profile": "https://example.com/ada", "nickname": "", "birthdate": 1815,
        });
        let (uid, info) = UserFields::openid().read(&user).unwrap();
        assert_eq!((uid.as_str(), info.name.as_deref()), ("u-1", Some("Ada Lovelace")));
        assert_eq!((info.email_verified, info.nickname, info.birthday), (Some(true), None, None));
        assert_eq!(info.urls["profile"], "https://example.com/ada");
    }

    #[test]
    fn nobody_is_read_from_what_names_nobody() {
        let fields = UserFields::new("/id");
        for uid in [
            json!(null),
            json!(""),
            json!(1.5),
            json!(true),
            json!(["1"]),
            json!("a\nb"),
            json!("x".repeat(256)),
        ] {
            assert!(fields.read(&json!({ "id": uid })).is_none(), "{uid}");
        }
        assert_eq!(fields.read(&json!({ "id": -7 })).unwrap().0, "-7");
    }
}
