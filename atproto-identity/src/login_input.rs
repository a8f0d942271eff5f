//! What a person types into the one field of a sign-in page.

use thiserror::Error;

use crate::at_identifier::AtIdentifier;
use crate::did::InvalidDid;
use crate::handle::{DevelopmentNames, Handle, InvalidHandle};
use crate::server_origin::{InvalidServerOrigin, ServerOrigin};

/// Who wants to sign in, or where.
///
/// ```
/// use vestibule_atproto_identity::{DevelopmentNames, InvalidLoginInput, LoginInput};
///
/// let read = |text| LoginInput::parse(text, None, DevelopmentNames::Refused);
/// assert_eq!(read(" @Alice.example.com ").unwrap().as_str(), "alice.example.com");
/// assert_eq!(read("https://pds.example.com/").unwrap().as_str(), "https://pds.example.com");
/// assert_eq!(read("alice@example.com"), Err(InvalidLoginInput::EmailAddress));
///
/// let suffixed = LoginInput::parse("alice", Some("bsky.social"), DevelopmentNames::Refused);
/// assert_eq!(suffixed.unwrap().as_str(), "alice.bsky.social");
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_enums, reason = "a login starts in one of these two ways, and must treat each")]
pub enum LoginInput {
    /// An account: its handle or DID. It is sent on as `login_hint`.
    Identity(AtIdentifier),
    /// A server, where the person will say which account.
    Server(ServerOrigin),
}

impl LoginInput {
    /// Reads what a person typed or pasted: a handle, with or without `@` before it, a DID, either of them after
    /// `at://`, or the URL of a server. White space around it and invisible characters in it are dropped.
    ///
    /// With `default_handle_suffix` a single label is completed: `alice` becomes `alice.<suffix>`.
    ///
    /// # Errors
    /// What is wrong, in words that tell a person what to do about it.
    pub fn parse(
        text: &str,
        default_handle_suffix: Option<&str>,
        development: DevelopmentNames,
    ) -> Result<Self, InvalidLoginInput> {
        if text.len() > MAX_LENGTH {
            return Err(InvalidLoginInput::TooLong);
        }
        let visible: String = text.chars().filter(|c| !is_invisible(*c)).collect();
        let typed = visible.trim();
        if starts_with(typed, "https://") || starts_with(typed, "http://") {
            return server(typed, development).map(Self::Server);
        }
        let typed = if starts_with(typed, "at://") { typed.get(5..).unwrap_or_default() } else { typed };
        let typed = typed.strip_prefix('@').unwrap_or(typed);
        if typed.is_empty() {
            return Err(InvalidLoginInput::Empty);
        }
        if starts_with(typed, "did:") {
            return typed
                .parse()
                .map(|did| Self::Identity(AtIdentifier::Did(did)))
                .map_err(InvalidLoginInput::Did);
        }
        if typed.contains('@') {
            return Err(InvalidLoginInput::EmailAddress);
        }
        if typed.contains(['/', ':']) {
            return Err(InvalidLoginInput::ServerWithoutScheme);
        }
        let parsed = if typed.contains('.') {
            typed.parse::<Handle>()
        } else if let Some(suffix) = default_handle_suffix {
            format!("{typed}.{}", suffix.trim_start_matches('.')).parse()
        } else {
            return Err(InvalidLoginInput::NoDot);
        };
        parsed.map(|handle| Self::Identity(AtIdentifier::Handle(handle))).map_err(InvalidLoginInput::Handle)
    }

    /// The handle, DID or origin.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Identity(identifier) => identifier.as_str(),
            Self::Server(origin) => origin.as_str(),
        }
    }
}

fn server(text: &str, development: DevelopmentNames) -> Result<ServerOrigin, InvalidLoginInput> {
    let origin = ServerOrigin::parse(text, development).map_err(InvalidLoginInput::Server)?;
    if origin.url().scheme() == "http" && !origin.is_loopback() {
        return Err(InvalidLoginInput::HttpNotLoopback);
    }
    Ok(origin)
}

/// Whether `text` starts with `prefix`, in letters of either case.
fn starts_with(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix))
}

/// Characters that cannot be seen, that no handle, DID or URL may hold, and that come along when a name is copied
/// from a page or a chat: marks of writing direction, joiners of no width, soft hyphens, variation selectors, and
/// control characters.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
        )
}

/// Why what was typed names neither an account nor a server. The messages are for the person who typed it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum InvalidLoginInput {
    /// Nothing was typed, or nothing that can be seen.
    #[error("type your handle, such as alice.example.com")]
    Empty,
    /// Longer than the longest DID.
    #[error("this is too long to be a handle, a DID or the address of a server")]
    TooLong,
    /// An e-mail address.
    #[error("this looks like an e-mail address, type your handle instead, such as alice.example.com")]
    EmailAddress,
    /// A single word, and nothing to complete it with.
    #[error("a handle has a dot in it, type it in full, such as alice.example.com")]
    NoDot,
    /// A port or a path, as in the address of a server, without `https://` before it.
    #[error("a handle has no slash or colon in it, and the address of a server starts with https://")]
    ServerWithoutScheme,
    /// The address of a server over http that is not on this machine.
    #[error("the address of a server starts with https://, http is accepted on this machine only")]
    HttpNotLoopback,
    /// It starts like a DID and is none.
    #[error("this is not a valid DID: {0}")]
    Did(InvalidDid),
    /// It is no handle.
    #[error("this is not a valid handle: {0}")]
    Handle(InvalidHandle),
    /// It starts like the address of a server and is none.
    #[error("this is not the address of a server: {0}")]
    Server(InvalidServerOrigin),
}

/// The longest DID, of 2048 octets, with as many again for what is dropped.
const MAX_LENGTH: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, InvalidLoginInput> {
        LoginInput::parse(text, None, DevelopmentNames::Refused).map(|input| input.as_str().to_owned())
    }

    #[test]
    fn r26_a_handle_a_did_or_a_server_is_read() {
        for (typed, meant) in [
            ("alice.example.com", "alice.example.com"),
            ("@alice.example.com", "alice.example.com"),
            ("at://alice.example.com", "alice.example.com"),
            ("AT://@Alice.Example.com", "alice.example.com"),
            ("\u{202a}@alice.example.com\u{202c}", "alice.example.com"),
            ("alice\u{200b}.example\u{ad}.com\u{feff}", "alice.example.com"),
            ("\u{a0}alice.example.com\r\n", "alice.example.com"),
            ("did:plc:ewvi7nxzyoun6zhxrhs64oiz", "did:plc:ewvi7nxzyoun6zhxrhs64oiz"),
            ("at://did:web:example.com", "did:web:example.com"),
            ("@did:web:example.com", "did:web:example.com"),
            ("https://pds.example.com", "https://pds.example.com"),
            ("HTTPS://pds.example.com:8443/", "https://pds.example.com:8443"),
        ] {
            assert_eq!(read(typed).as_deref(), Ok(meant), "{typed:?}");
            assert_eq!(read(meant).as_deref(), Ok(meant), "what was understood reads back as itself");
        }
        for typed in ["alice.example.com", "did:web:example.com"] {
            let input = LoginInput::parse(typed, None, DevelopmentNames::Refused).unwrap();
            assert!(matches!(input, LoginInput::Identity(_)), "{typed}");
        }
    }

    #[test]
    fn r26_what_is_wrong_is_said_by_name() {
        for (typed, why) in [
            ("", InvalidLoginInput::Empty),
            (" \u{200b}\t", InvalidLoginInput::Empty),
            ("@", InvalidLoginInput::Empty),
            ("at://", InvalidLoginInput::Empty),
            ("alice", InvalidLoginInput::NoDot),
            ("alice@example.com", InvalidLoginInput::EmailAddress),
            ("@@alice.example.com", InvalidLoginInput::EmailAddress),
            ("pds.example.com:8443", InvalidLoginInput::ServerWithoutScheme),
            ("bsky.app/profile/alice.example.com", InvalidLoginInput::ServerWithoutScheme),
            ("at://alice.example.com/app.bsky.feed.post", InvalidLoginInput::ServerWithoutScheme),
            ("http://pds.example.com", InvalidLoginInput::Server(InvalidServerOrigin::NotHttps)),
            ("https://pds.example.com/xrpc", InvalidLoginInput::Server(InvalidServerOrigin::Path)),
            ("did:plc", InvalidLoginInput::Did(InvalidDid::Prefix)),
            ("DID:plc:ewvi7nxzyoun6zhxrhs64oiz", InvalidLoginInput::Did(InvalidDid::Prefix)),
            ("alice smith.example.com", InvalidLoginInput::Handle(InvalidHandle::Character)),
            ("alice.", InvalidLoginInput::Handle(InvalidHandle::LabelLength)),
            (&"a".repeat(4097), InvalidLoginInput::TooLong),
        ] {
            assert_eq!(read(typed), Err(why), "{typed:?}");
        }
    }

    #[test]
    fn a_single_label_is_completed_when_there_is_a_suffix() {
        let complete = |text, suffix| LoginInput::parse(text, Some(suffix), DevelopmentNames::Refused);
        for suffix in ["bsky.social", ".bsky.social"] {
            assert_eq!(complete("@Alice", suffix).unwrap().as_str(), "alice.bsky.social");
        }
        assert_eq!(complete("alice.example.com", "bsky.social").unwrap().as_str(), "alice.example.com");
        let wrong = InvalidLoginInput::Handle(InvalidHandle::Character);
        assert_eq!(complete("al ice", "bsky.social"), Err(wrong));
    }

    #[test]
    fn http_is_for_loopback_during_development() {
        let read = |text| LoginInput::parse(text, None, DevelopmentNames::Allowed);
        for text in ["http://localhost:2583", "http://127.0.0.1:2583", "http://[::1]:2583"] {
            assert_eq!(read(text).unwrap().as_str(), text);
        }
        assert_eq!(read("http://192.168.0.1"), Err(InvalidLoginInput::HttpNotLoopback));
    }
}
