//! Profiles: sets of rules that belong together.

use std::time::Duration;

use vestibule_dpop::Algorithm;

use crate::client::{AuthMethod, Client, ClientKind, Pkce, Pushing, RedirectUriAtToken, TokenBinding};

/// A named set of rules. There are four, and no other can be made: what one of them promises holds for every server that
/// runs it, and the metadata is written from the same value.
///
/// | | [`OAUTH21`](Self::OAUTH21) | [`FAPI2`](Self::FAPI2) | [`ATPROTO`](Self::ATPROTO) | [`LEGACY20`](Self::LEGACY20) |
/// | --- | --- | --- | --- | --- |
/// | client authentication | secrets, keys, none | keys | keys, none | secrets, keys, none |
/// | Basic and a secret in the body | Basic counts | refused | refused | Basic counts |
/// | algorithms of assertions | ES256, PS256, RS256 | ES256, PS256 | ES256 | ES256, PS256, RS256 |
/// | `aud` as a list of one | taken | refused | taken | taken |
/// | PKCE | yes, but for clients that are exempt | yes | yes | public clients |
/// | pushed requests | may be | must be | must be | may be |
/// | DPoP | may be | must be | must be | may be |
/// | DPoP nonce | demanded | demanded | demanded | welcome |
/// | code is good for | 60 s | 60 s | 60 s | 600 s |
/// | `redirect_uri` at the token endpoint | as the client is registered | as registered | must be | must be |
/// | refresh tokens of confidential clients with DPoP | rotated | kept | rotated | rotated |
/// | client key fixed for a grant | no | no | yes | no |
///
/// ```
/// use vestibule_token_endpoint::{AuthMethod, Profile};
///
/// assert!(Profile::default().allows(AuthMethod::ClientSecretBasic));
/// assert!(!Profile::FAPI2.allows(AuthMethod::ClientSecretBasic));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Profile {
    name: &'static str,
    methods: &'static [AuthMethod],
    algorithms: &'static [Algorithm],
    strictness: Strictness,
    pkce: PkceRule,
    demands: Demands,
    nonce: NonceDemand,
    code_lifetime: Duration,
    redirect_uri: RedirectUriAtToken,
}

/// How much is borne of what could be read in two ways.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Strictness {
    Lenient,
    Strict,
}

/// Who has to use PKCE.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum PkceRule {
    Everybody,
    AllButExempt,
    PublicClients,
}

/// What every request has to come with, in the two profiles that ask for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Demands {
    Nothing,
    Fapi2,
    Atproto,
}

/// What is asked of a proof's nonce.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NonceDemand {
    Welcome,
    Demanded,
}

impl Profile {
    /// [OAuth 2.1](https://datatracker.ietf.org/doc/draft-ietf-oauth-v2-1/), with what apps in the field need: the default.
    pub const OAUTH21: Self = Self {
        name: "oauth21",
        methods: &AuthMethod::ALL,
        algorithms: &[Algorithm::Es256, Algorithm::Ps256, Algorithm::Rs256],
        strictness: Strictness::Lenient,
        pkce: PkceRule::AllButExempt,
        demands: Demands::Nothing,
        nonce: NonceDemand::Demanded,
        code_lifetime: Duration::from_secs(60),
        redirect_uri: RedirectUriAtToken::Optional,
    };

    /// The [FAPI 2.0 security profile](https://openid.net/specs/fapi-security-profile-2_0-final.html), with DPoP.
    pub const FAPI2: Self = Self {
        name: "fapi2",
        methods: &[AuthMethod::PrivateKeyJwt],
        algorithms: &[Algorithm::Es256, Algorithm::Ps256],
        strictness: Strictness::Strict,
        pkce: PkceRule::Everybody,
        demands: Demands::Fapi2,
        ..Self::OAUTH21
    };

    /// The [AT Protocol's profile](https://atproto.com/specs/oauth).
    pub const ATPROTO: Self = Self {
        name: "atproto",
        methods: &[AuthMethod::PrivateKeyJwt, AuthMethod::None],
        algorithms: &[Algorithm::Es256],
        strictness: Strictness::Strict,
        pkce: PkceRule::Everybody,
        demands: Demands::Atproto,
        redirect_uri: RedirectUriAtToken::Required,
        ..Self::OAUTH21
    };

    /// OAuth 2.0 as [RFC 6749](https://www.rfc-editor.org/rfc/rfc6749) has it, for clients that were written before PKCE.
    pub const LEGACY20: Self = Self {
        name: "legacy20",
        pkce: PkceRule::PublicClients,
        nonce: NonceDemand::Welcome,
        code_lifetime: Duration::from_secs(600),
        redirect_uri: RedirectUriAtToken::Required,
        ..Self::OAUTH21
    };

    /// The four.
    pub const ALL: [Self; 4] = [Self::OAUTH21, Self::FAPI2, Self::ATPROTO, Self::LEGACY20];

    /// Its name, in lower case.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The profile with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name == name)
    }

    /// Whether clients may authenticate in this way.
    pub fn allows(&self, method: AuthMethod) -> bool {
        self.methods.contains(&method)
    }

    /// The ways in which clients may authenticate.
    pub const fn auth_methods(&self) -> &'static [AuthMethod] {
        self.methods
    }

    /// The algorithms of client assertions.
    pub const fn assertion_algorithms(&self) -> &'static [Algorithm] {
        self.algorithms
    }

    /// How long a code is good for.
    pub const fn code_lifetime(&self) -> Duration {
        self.code_lifetime
    }

    /// Whether every authorization request has to be pushed.
    pub const fn pushing(&self) -> Pushing {
        match self.demands {
            Demands::Nothing => Pushing::Optional,
            Demands::Fapi2 | Demands::Atproto => Pushing::Required,
        }
    }

    /// Whether every token is bound to a DPoP key.
    pub const fn binding(&self) -> TokenBinding {
        match self.demands {
            Demands::Nothing => TokenBinding::Optional,
            Demands::Fapi2 | Demands::Atproto => TokenBinding::Required,
        }
    }

    /// Whether codes of this client must have a challenge.
    pub(crate) fn demands_pkce(&self, client: &Client) -> bool {
        match self.pkce {
            PkceRule::Everybody => true,
            PkceRule::AllButExempt => client.kind == ClientKind::Public || client.pkce == Pkce::Required,
            PkceRule::PublicClients => client.kind == ClientKind::Public,
        }
    }

    /// Whether a client may repeat itself in a second way of authentication.
    pub(crate) const fn refuses_two_methods(&self) -> bool {
        matches!(self.strictness, Strictness::Strict)
    }

    /// Whether `aud` must be a text (FAPI 2.0, section 5.3.2.1).
    pub(crate) const fn refuses_audience_lists(&self) -> bool {
        matches!(self.demands, Demands::Fapi2)
    }

    pub(crate) const fn nonce(&self) -> NonceDemand {
        self.nonce
    }

    /// Whether this client has to repeat its redirect URI where it redeems a code.
    pub(crate) const fn redirect_uri_at_token(&self, client: &Client) -> RedirectUriAtToken {
        match self.redirect_uri {
            RedirectUriAtToken::Required => RedirectUriAtToken::Required,
            RedirectUriAtToken::Optional => client.redirect_uri_at_token,
        }
    }

    /// Whether a refresh token of this client is used again and again: a key of the client and a key of the token protect it
    /// better than rotation does (FAPI 2.0, section 5.3.2.1, point 10).
    pub(crate) const fn keeps_refresh_tokens(&self) -> bool {
        matches!(self.demands, Demands::Fapi2)
    }

    /// Whether the rules of the AT Protocol hold: one client key for the life of a grant, a proof key that is another, the
    /// account's DID in the token answer.
    pub(crate) const fn is_atproto(&self) -> bool {
        matches!(self.demands, Demands::Atproto)
    }
}

impl Default for Profile {
    /// OAuth 2.1.
    fn default() -> Self {
        Self::OAUTH21
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t67_a_profile_is_found_by_its_name() {
        for profile in Profile::ALL {
            assert_eq!(Profile::named(profile.name()), Some(profile));
        }
        assert_eq!(Profile::named("OAuth21"), None);
    }

    #[test]
    fn t29_who_has_to_use_pkce() {
        let client = |kind, pkce| {
            let mut client = Client::new("c".parse().unwrap(), kind);
            client.pkce = pkce;
            client
        };
        use {
            ClientKind::{Confidential, Public},
            Pkce::{DangerExempt, Required},
        };
        for (profile, kind, pkce, demanded) in [
            (Profile::OAUTH21, Public, Required, true),
            (Profile::OAUTH21, Public, DangerExempt, true),
            (Profile::OAUTH21, Confidential, Required, true),
            (Profile::OAUTH21, Confidential, DangerExempt, false),
            (Profile::FAPI2, Confidential, DangerExempt, true),
            (Profile::ATPROTO, Confidential, DangerExempt, true),
            (Profile::LEGACY20, Public, Required, true),
            (Profile::LEGACY20, Confidential, Required, false),
        ] {
            assert_eq!(
                profile.demands_pkce(&client(kind, pkce)),
                demanded,
                "{} {kind:?} {pkce:?}",
                profile.name()
            );
        }
    }
}
