//! A device asks for its tokens ([RFC 8628, section 3.4]).
//!
//! [RFC 8628, section 3.4]: https://www.rfc-editor.org/rfc/rfc8628#section-3.4

use crate::client_request::ClientRequest;
use crate::code_grant::{begun, with_refresh_token};
use crate::denial::Denial;
use crate::device::DeviceState;
use crate::grant_type::GrantType;
use crate::issue::{Conclusion, Deciding, Issued, Order};
use crate::store::{Issuance, Polled, Redeemed, StoredDevice};
use crate::target;
use crate::token::{OpaqueToken, TokenHash, TokenKind};

/// A device code that somebody presents.
#[derive(Debug)]
pub struct DeviceRequest {
    code: Option<TokenHash>,
}

/// What is to be done about a device code.
#[derive(Debug)]
#[allow(clippy::exhaustive_enums, reason = "whoever drives the steps has to do each of these")]
pub enum DeviceDecisionStep {
    /// The person has not decided: note that it has asked, and hand what comes back to [`polled`].
    Poll(TokenHash),
    /// Redeem it, by one act of the store.
    Redeem(Box<RedeemDevice>),
}

/// A device code about to be redeemed: hand [`RedeemDevice::code`] and [`RedeemDevice::issuance`] to
/// [`Store::redeem_device`](crate::Store::redeem_device), and what comes back to [`RedeemDevice::conclude`].
#[derive(Debug)]
pub struct RedeemDevice {
    code: TokenHash,
    issuance: Issuance,
    issued: Issued,
}

impl DeviceRequest {
    pub(crate) fn read(form: &ClientRequest<'_>) -> Result<Self, Denial> {
        let code = OpaqueToken::parse(TokenKind::Device, form.required("device_code")?);
        Ok(Self { code: code.map(|code| code.hash()) })
    }

    /// The name of the code, to look for in the store; `None` for what was never a device code of this server.
    pub const fn presented(&self) -> Option<TokenHash> {
        self.code
    }

    /// Holds the request against the device as the store has it.
    ///
    /// # Errors
    /// A [`Denial`]; nothing has changed.
    pub fn decide(
        &self,
        cx: &Deciding<'_>,
        stored: Option<StoredDevice>,
    ) -> Result<DeviceDecisionStep, Denial> {
        cx.may_use(&GrantType::DEVICE_CODE)?;
        let StoredDevice { device, state } = stored.ok_or(Denial::DeviceCodeUnknown)?;
        if device.client != cx.client().id {
            return Err(Denial::DeviceCodeUnknown);
        }
        cx.holds(device.proof_key.as_ref())?;
        cx.proof_if_wanted()?;
        let grant = match state {
            DeviceState::Redeemed(_) => return Err(Denial::DeviceCodeRedeemed),
            _ if device.expires_at <= cx.now => return Err(Denial::DeviceCodeExpired),
            DeviceState::Denied => return Err(Denial::AccessDenied),
            DeviceState::Pending => return Ok(DeviceDecisionStep::Poll(device.hash)),
            DeviceState::Approved(grant) => begun(cx, *grant),
        };
        let issued = cx.issue(Order {
            grant_type: GrantType::DEVICE_CODE,
            grant: Some(grant.id),
            subject: &grant.subject,
            scope: grant.scope.clone(),
            resources: target::narrow(cx.form.params(), &grant.resources)?,
            actors: Vec::new(),
            ends_by: Some(grant.expires_at),
        })?;
        let (issuance, issued) = with_refresh_token(cx, grant, issued);
        Ok(DeviceDecisionStep::Redeem(Box::new(RedeemDevice { code: device.hash, issuance, issued })))
    }
}

/// What it means that a device has asked while the person has not decided.
pub const fn polled(outcome: Polled) -> Denial {
    match outcome {
        Polled::InTime => Denial::AuthorizationPending,
        Polled::TooSoon => Denial::SlowDown,
        Polled::Missing => Denial::DeviceCodeUnknown,
    }
}

impl RedeemDevice {
    /// Which device code.
    pub const fn code(&self) -> TokenHash {
        self.code
    }

    /// What is put in with its redemption.
    pub const fn issuance(&self) -> &Issuance {
        &self.issuance
    }

    /// What an outcome means. A second redemption is refused and no more: a device that asks twice at once is not attacked.
    pub fn conclude(self, outcome: Redeemed) -> Conclusion {
        match outcome {
            Redeemed::Redeemed => Conclusion::Answer(Box::new(self.issued)),
            Redeemed::AlreadyRedeemed { .. } => Conclusion::Deny(Denial::DeviceCodeRedeemed),
            Redeemed::Missing => Conclusion::Deny(Denial::DeviceCodeUnknown),
        }
    }
}
