//! The server half of OAuth 2.1 without I/O.

mod access_token;
mod answer;
mod assertion;
mod authorization;
mod caller;
mod client;
mod client_credentials;
mod client_record;
mod client_request;
mod client_secret;
mod code_grant;
mod denial;
mod device;
mod device_grant;
mod endpoint;
mod event;
mod extension;
mod grant;
mod grant_type;
mod issue;
mod jwt_bearer;
mod profile;
mod refresh_grant;
mod store;
mod successor;
mod target;
mod token;
mod token_exchange;
mod token_request;

pub use access_token::{AccessToken, TokenFacts, TokenKey};
pub use answer::{Answer, preflight};
pub use authorization::{
    AuthorizationError, AuthorizationRequest, InvalidPrompt, Prompt, RedirectUriSent, ReturnAddress,
};
pub use caller::{Caller, OneTime, OneTimeKind};
pub use client::{
    AssertionAudience, AuthMethod, Client, ClientKind, ClientState, Lifetimes, Pkce, Pushing,
    RedirectUriAtToken, TokenBinding, TokenFormat, TrustedIssuer, UnknownAuthMethod,
};
pub use client_credentials::ClientCredentialsRequest;
pub use client_record::InvalidClientRecord;
pub use client_request::ClientRequest;
pub use client_secret::{
    ClientSecret, InvalidSecretHash, Pepper, SecretHash, new_client_id, new_client_secret,
};
pub use code_grant::{CodeDecision, CodeRequest, RedeemCode};
pub use denial::{AssertionFault, Denial, Reuse, Row};
pub use device::{Device, DeviceState, InvalidUserCode, SLOW_DOWN, UserCode};
pub use device_grant::{DeviceDecisionStep, DeviceRequest, RedeemDevice, polled};
pub use endpoint::{
    Authorization, Consent, Endpoint, EndpointKeys, EndpointSetup, EndpointUrls, InvalidSetup, Redirect,
};
pub use event::{Event, EventKind};
pub use extension::{Approved, Exchange, ExtensionGrant};
pub use grant::{EndReason, Grant, GrantId, InvalidGrantId, RefreshToken};
pub use grant_type::{GrantType, InvalidGrantType};
pub use issue::{Conclusion, Deciding, Entropy, Issued};
pub use jwt_bearer::JwtBearer;
pub use profile::Profile;
pub use refresh_grant::{RefreshDecision, RefreshRequest, Rotate};
pub use store::{
    Clients, Code, CodeIssued, Decided, DeviceBegun, DeviceDecision, Issuance, Once, Polled, Ports,
    PushedRequest, Redeemed, Replaced, Revoked, Rotated, Rotation, Store, StoredCode, StoredDevice,
    StoredGrant, StoredRefreshToken, TokenPut,
};
pub use successor::SealedSuccessor;
pub use token::{OpaqueToken, TokenHash, TokenKind};
pub use token_exchange::TokenExchange;
pub use token_request::TokenRequest;
