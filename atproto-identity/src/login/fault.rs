//! What goes wrong on the way to a person's server, in the terms of a login: codes, statuses, sentences.
//!
//! A handle that leads nowhere is the person's to correct (400). Once an account is found, everything that cannot be had is
//! another server's doing (502, or 504 when it took too long).

use vestibule_strategy::{FailureKind, Fault, PostError, PushError, TokenError, TransportFault};

use crate::discover::DiscoverError;
use crate::{DidDocumentError, DidError, InvalidLoginInput, ResolveError};

/// What was typed is nothing that can be looked up.
pub(super) fn of_input(error: &InvalidLoginInput) -> Fault {
    let kind = match error {
        InvalidLoginInput::Empty => FailureKind::MissingHandle,
        _ => FailureKind::InvalidHandle,
    };
    let sentence = error.to_string();
    let mut letters = sentence.chars();
    let hint: String =
        letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).chain(['.']).collect();
    Fault::new(kind, sentence).with_hint(hint)
}

/// A handle or DID that leads to nobody, or to nobody's server.
pub(super) fn of_resolve(error: &ResolveError) -> Fault {
    let detail = error.to_string();
    if error.is_timeout() {
        let hint = "Looking that name up took too long. Try again in a little while.";
        return Fault::new(FailureKind::Transport(TransportFault::Timeout), detail).with_hint(hint);
    }
    match error {
        ResolveError::Handle(_) | ResolveError::Did(DidError::Unusable(_)) => {
            Fault::new(FailureKind::InvalidHandle, detail)
        }
        ResolveError::NotClaimed { .. } => {
            let hint = "That handle points to an account that goes by another name, so we cannot tell whose it is. \
                        Whoever runs the handle's domain can correct it.";
            Fault::new(FailureKind::InvalidHandle, detail).with_hint(hint)
        }
        ResolveError::Did(DidError::Answer(DidDocumentError::NotFound | DidDocumentError::Tombstoned)) => {
            let hint =
                "That account is not, or no longer, registered where its name says. Look for a typing error.";
            Fault::new(FailureKind::BadResponse, detail).with_hint(hint)
        }
        ResolveError::Did(DidError::Unreachable(error)) => {
            let hint =
                "The directory your account is registered in cannot be reached. Try again in a little while.";
            Fault::transport("DID document", error).with_hint(hint)
        }
        _ => {
            let hint = "Your account's registration names no server that we could go to. Tell whoever hosts your account.";
            Fault::new(FailureKind::BadResponse, detail).with_hint(hint)
        }
    }
}

/// A server whose description cannot be had or relied on.
pub(super) fn of_discover(error: &DiscoverError) -> Fault {
    match error {
        DiscoverError::Unreachable { what, error, .. } | DiscoverError::Timeout { what, error, .. } => {
            Fault::transport(what, error)
        }
        _ => Fault::new(FailureKind::AuthorizationServerMetadataFailed, error.to_string()),
    }
}

/// A back-channel request without an answer.
pub(super) fn of_post(purpose: &str, error: &PostError) -> Fault {
    match error {
        PostError::Http(error) => Fault::transport(purpose, error),
        other => Fault::new(FailureKind::Misconfigured, format!("{purpose}: {other}")),
    }
}

/// A push that was refused.
pub(super) fn of_push(error: PushError) -> Fault {
    let detail = error.to_string();
    match error {
        PushError::Refused { status, error } => Fault::new(
            FailureKind::AuthorizationUrlFailed { status, error: error.map(|refusal| refusal.code) },
            detail,
        ),
        _ => Fault::new(FailureKind::BadResponse, detail),
    }
}

/// A code that was refused, or whose tokens cannot be read.
pub(super) fn of_token(error: TokenError) -> Fault {
    let detail = error.to_string();
    match error {
        TokenError::Refused { status, error } => Fault::new(
            FailureKind::TokenEndpoint { status, error: error.map(|refusal| refusal.code) },
            detail,
        ),
        TokenError::Malformed(_) => Fault::new(FailureKind::TokenAnswerMalformed, detail),
        _ => Fault::new(FailureKind::TokenValidationFailed, detail),
    }
}
