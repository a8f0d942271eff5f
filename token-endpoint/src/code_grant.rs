//! Codes for tokens ([RFC 6749, section 4.1.3], with PKCE, [RFC 7636]).
//!
//! A code is good once. Who redeems it is settled by the store, in one act; everything here is what has to be true before that
//! act is tried, and what each of its outcomes means. A try that breaks a rule leaves the code alone: to burn it would be to let
//! whoever has seen it keep its owner out (T31).
//!
//! [RFC 6749, section 4.1.3]: https://www.rfc-editor.org/rfc/rfc6749#section-4.1.3
//! [RFC 7636]: https://www.rfc-editor.org/rfc/rfc7636

use vestibule_oauth_core::{PkceVerifier, UnixTime};

use crate::authorization::RedirectUriSent;
use crate::client::RedirectUriAtToken;
use crate::client_request::ClientRequest;
use crate::denial::Denial;
use crate::event::EventKind;
use crate::grant::{EndReason, Grant, GrantId};
use crate::grant_type::GrantType;
use crate::issue::{Conclusion, Deciding, Issued, Order};
use crate::store::{Code, Issuance, Redeemed, StoredCode};
use crate::target;
use crate::token::{OpaqueToken, TokenHash, TokenKind};

/// A code that somebody presents.
#[derive(Debug)]
pub struct CodeRequest {
    code: Option<TokenHash>,
}

/// What is to be done about a code.
#[derive(Debug)]
#[allow(clippy::exhaustive_enums, reason = "whoever drives the steps has to do each of these")]
pub enum CodeDecision {
    /// Redeem it, by one act of the store.
    Redeem(Box<RedeemCode>),
    /// It was redeemed before.
    Conclude(Conclusion),
}

/// A code about to be redeemed: hand [`RedeemCode::code`] and [`RedeemCode::issuance`] to
/// [`Store::redeem_code`](crate::Store::redeem_code), and what comes back to [`RedeemCode::conclude`].
#[derive(Debug)]
pub struct RedeemCode {
    code: TokenHash,
    issuance: Issuance,
    issued: Issued,
    replays: Replays,
}

/// When a second redemption ends the grant.
#[derive(Clone, Copy, Debug)]
struct Replays {
    double_submit: std::time::Duration,
    now: UnixTime,
}

impl CodeRequest {
    pub(crate) fn read(form: &ClientRequest<'_>) -> Result<Self, Denial> {
        let code = OpaqueToken::parse(TokenKind::Code, form.required("code")?);
        Ok(Self { code: code.map(|code| code.hash()) })
    }

    /// The name of the code, to look for in the store; `None` for what was never a code of this server.
    pub const fn presented(&self) -> Option<TokenHash> {
        self.code
    }

    /// Holds the request against the code as the store has it.
    ///
    /// # Errors
    /// A [`Denial`]; nothing has changed.
    pub fn decide(&self, cx: &Deciding<'_>, stored: Option<StoredCode>) -> Result<CodeDecision, Denial> {
        cx.may_use(&GrantType::AUTHORIZATION_CODE)?;
        let StoredCode { code, redeemed_at, ended } = stored.ok_or(Denial::CodeUnknown)?;
        if code.grant.client != cx.client().id {
            return Err(Denial::CodeOfOtherClient);
        }
        redirect_uri_is_the_same(cx, &code)?;
        let exempt = challenge_is_answered(cx, &code)?;
        cx.holds(code.grant.proof_key.as_ref())?;
        cx.authenticates_with(code.grant.client_key.as_ref())?;
        cx.proof_if_wanted()?;
        let scope = cx.narrowed(&code.grant.scope)?;
        let resources = target::narrow(cx.form.params(), &code.grant.resources)?;

        // Whoever comes here has shown everything that the code's owner has to show. So a code that was redeemed is a replay that
        // counts (OAuth 2.1, section 7.5.2), and only such a one.
        let replays = Replays { double_submit: cx.endpoint.setup().double_submit, now: cx.now };
        if let Some(at) = redeemed_at {
            return Ok(CodeDecision::Conclude(replays.conclude(code.grant.id, at)));
        }
        if let Some(reason) = ended {
            return Err(Denial::GrantEnded(reason));
        }
        if code.expires_at <= cx.now {
            return Err(Denial::CodeExpired);
        }

        let grant = begun(cx, code.grant);
        let mut issued = cx.issue(Order {
            grant_type: GrantType::AUTHORIZATION_CODE,
            grant: Some(grant.id),
            subject: &grant.subject,
            scope,
            resources,
            actors: Vec::new(),
            ends_by: Some(grant.expires_at),
        })?;
        if exempt {
            issued.note(EventKind::PkceExemptionUsed);
        }
        let (issuance, issued) = with_refresh_token(cx, grant, issued);
        Ok(CodeDecision::Redeem(Box::new(RedeemCode { code: code.hash, issuance, issued, replays })))
    }
}

impl RedeemCode {
    /// Which code.
    pub const fn code(&self) -> TokenHash {
        self.code
    }

    /// What is put in with its redemption.
    pub const fn issuance(&self) -> &Issuance {
        &self.issuance
    }

    /// What an outcome means.
    pub fn conclude(self, outcome: Redeemed) -> Conclusion {
        match outcome {
            Redeemed::Redeemed => Conclusion::Answer(Box::new(self.issued)),
            Redeemed::AlreadyRedeemed { grant, at } => self.replays.conclude(grant, at),
            Redeemed::Missing => Conclusion::Deny(Denial::CodeUnknown),
        }
    }
}

impl Replays {
    fn conclude(self, grant: GrantId, redeemed_at: UnixTime) -> Conclusion {
        if self.now.since(redeemed_at) < self.double_submit {
            return Conclusion::Deny(Denial::CodeReplayed);
        }
        Conclusion::EndGrant(grant, EndReason::CodeReplayed, Denial::CodeReplayed)
    }
}

/// The grant as it begins now: bound to the key that was shown, and as long as its tokens can last.
pub(crate) fn begun(cx: &Deciding<'_>, mut grant: Grant) -> Grant {
    let lifetimes = cx.client().lifetimes;
    let life = if cx.refreshes() { lifetimes.refresh_absolute } else { lifetimes.access };
    grant.created_at = cx.now;
    grant.expires_at = cx.now.after(life);
    grant.proof_key = cx.caller.proof_key().cloned();
    grant
}

/// What a beginning grant puts into the store, with a refresh token if its client gets any.
pub(crate) fn with_refresh_token(cx: &Deciding<'_>, grant: Grant, mut issued: Issued) -> (Issuance, Issued) {
    let access = issued.access_record();
    if !cx.refreshes() {
        return (Issuance { grant, refresh: None, access }, issued);
    }
    let (token, record) = cx.refresh_token(&grant);
    (Issuance { grant, refresh: Some(record), access }, issued.with_refresh_token(&token))
}

/// The redirect URI that is sent is the one the code went to, character by character (T30).
fn redirect_uri_is_the_same(cx: &Deciding<'_>, code: &Code) -> Result<(), Denial> {
    match cx.form.value("redirect_uri") {
        Some(sent) if sent != code.redirect_uri.as_str() => Err(Denial::RedirectUriMismatch),
        Some(_) => Ok(()),
        None => {
            let wanted =
                cx.endpoint.profile().redirect_uri_at_token(cx.client()) == RedirectUriAtToken::Required;
            let missing = wanted && code.redirect_uri_sent == RedirectUriSent::Sent;
            if missing { Err(Denial::Missing("redirect_uri")) } else { Ok(()) }
        }
    }
}

/// The verifier is there if and only if the code has a challenge, and answers it (T29). Whether the client was let through
/// without either.
fn challenge_is_answered(cx: &Deciding<'_>, code: &Code) -> Result<bool, Denial> {
    match (&code.challenge, cx.form.value("code_verifier")) {
        (Some(challenge), Some(text)) => {
            let verifier: PkceVerifier = text.parse().map_err(|_| Denial::VerifierMalformed)?;
            if challenge.is_answered_by(&verifier) { Ok(false) } else { Err(Denial::VerifierMismatch) }
        }
        (Some(_), None) => Err(Denial::VerifierMissing),
        (None, Some(_)) => Err(Denial::VerifierUnexpected),
        (None, None) if cx.endpoint.profile().demands_pkce(cx.client()) => Err(Denial::NoChallenge),
        (None, None) => Ok(true),
    }
}
