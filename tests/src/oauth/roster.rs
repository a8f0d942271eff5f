//! The clients that every server under test knows: the same names, secrets and keys wherever it is.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use vestibule_dpop::JwkSet;
use vestibule_token_endpoint::{
    AuthMethod, Client, ClientKind, ClientSecret, GrantType, Pkce, SecretHash, TokenBinding, TokenFormat,
    TrustedIssuer,
};

use super::keys::Key;

/// A resource that clients may ask tokens for; the client `api` is it.
pub const API: &str = "https://api.test/a";
/// Another one; the client `api-b` is it.
pub const API_B: &str = "https://api.test/b";
/// Who vouches for people towards the client `bearer`.
pub const IDP: &str = "https://idp.test";
/// The key of [`IDP`].
pub const IDP_KEY: Key = Key(40);
/// The key of the client `signed`.
pub const SIGNED_KEY: Key = Key(41);
/// The key of the client `signed-too`.
pub const SIGNED_TOO_KEY: Key = Key(42);

/// The secret of a client.
pub fn secret(id: &str) -> String {
    match id {
        // One that somebody has thought up, with all that encoders get wrong.
        "odd" => "a:b%c+d/e f%41".to_owned(),
        "umlaut" => "schön, größer".to_owned(),
        id => format!("{}Secret0123456789abcdefghijABCDEFGHIJ", id.replace('-', "")),
    }
}

/// Where the codes of a client go.
pub fn redirect_uri(id: &str) -> String {
    match id {
        "app" | "half" | "bound" => format!("http://127.0.0.1:49152/{id}"),
        "wordpress" => "https://wp.test/wp-admin/admin-ajax.php?action=openid-connect-authorize".to_owned(),
        id => format!("https://{id}.test/cb"),
    }
}

/// How a client is set up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// A secret by Basic or in the body.
    Secret,
    Basic,
    Post,
    Public,
    PublicWithSecret,
    Signed(Key),
}

const CODE: &[GrantType] = &[GrantType::AUTHORIZATION_CODE, GrantType::REFRESH_TOKEN];
const MACHINE: &[GrantType] = &[GrantType::CLIENT_CREDENTIALS];

/// Everybody.
pub fn clients() -> Vec<Client> {
    use Kind::{Basic, Post, Public, PublicWithSecret, Secret, Signed};
    let mut all = vec![
        client("web", Secret, CODE),
        client("other", Secret, CODE),
        client("app", Public, CODE),
        client("half", PublicWithSecret, CODE),
        client("basic", Basic, CODE),
        client("post", Post, CODE),
        client("odd", Secret, CODE),
        client("umlaut", Secret, CODE),
        client("signed", Signed(SIGNED_KEY), &[CODE, MACHINE].concat()),
        client("signed-too", Signed(SIGNED_TOO_KEY), &[CODE, MACHINE].concat()),
        client("bound", Public, CODE),
        client("machine", Secret, MACHINE),
        client("opaque", Secret, &[CODE, MACHINE].concat()),
        client("short", Secret, CODE),
        client("once", Secret, &[GrantType::AUTHORIZATION_CODE]),
        client("tv", Public, &[GrantType::DEVICE_CODE, GrantType::REFRESH_TOKEN]),
        client("tv-too", Public, &[GrantType::DEVICE_CODE, GrantType::REFRESH_TOKEN]),
        client("exempt", Secret, CODE),
        client("wordpress", Post, CODE),
        client("api", Secret, MACHINE),
        client("api-b", Secret, MACHINE),
        client("exchanger", Secret, &[GrantType::TOKEN_EXCHANGE]),
        client("bearer", Secret, &[GrantType::JWT_BEARER]),
        client("spray", Secret, CODE),
        client("guess", Secret, CODE),
    ];
    for client in &mut all {
        match client.id.as_str() {
            "bound" => client.binding = TokenBinding::Required,
            "opaque" => client.token_format = TokenFormat::Opaque,
            "short" => {
                client.lifetimes.access = Duration::from_secs(5);
                client.lifetimes.refresh_idle = Duration::from_secs(1000);
                client.lifetimes.refresh_absolute = Duration::from_secs(3000);
            }
            "exempt" | "wordpress" => client.pkce = Pkce::DangerExempt,
            "api" => client.serves = BTreeSet::from([API.to_owned()]),
            // What it is called with is for one service, and what it needs is for another.
            "exchanger" => client.serves = BTreeSet::from([API.to_owned()]),
            "api-b" => client.serves = BTreeSet::from([API_B.to_owned()]),
            "bearer" => client.trusted_issuers = vec![TrustedIssuer::new(IDP, set(IDP_KEY))],
            _ => {}
        }
    }
    all
}

fn client(id: &str, kind: Kind, grants: &[GrantType]) -> Client {
    let public = matches!(kind, Kind::Public | Kind::PublicWithSecret);
    let mut client = Client::new(
        id.parse().expect("a client id"),
        if public { ClientKind::Public } else { ClientKind::Confidential },
    );
    client.name = Some(format!("The app {id}"));
    client.grant_types = grants.iter().cloned().collect();
    client.redirect_uris = vec![redirect_uri(id).parse().expect("a redirect URI")];
    client.scope = "read write".parse().expect("a scope");
    client.resources = [API, API_B].map(str::to_owned).into();
    match kind {
        Kind::Public => {}
        Kind::Signed(key) => client.keys = set(key),
        _ => client.secrets = vec![ClientSecret::new(SecretHash::plain(&secret(id)))],
    }
    client.auth_methods = match kind {
        Kind::Basic | Kind::PublicWithSecret => [AuthMethod::ClientSecretBasic].into(),
        Kind::Post => [AuthMethod::ClientSecretPost].into(),
        _ => BTreeSet::new(),
    };
    client
}

fn set(key: Key) -> JwkSet {
    JwkSet::parse(key.jwks()).expect("a key set")
}

/// The files that `vestibule.toml` with all these clients needs beside it: name and text.
///
/// # Panics
/// Never: a `String` takes everything.
pub fn files() -> Vec<(String, String)> {
    let mut toml = String::from("[oauth]\nscope = \"read write profile\"\n");
    let mut files = vec![
        ("signed.json".to_owned(), SIGNED_KEY.jwks()),
        ("signed-too.json".to_owned(), SIGNED_TOO_KEY.jwks()),
        ("idp.json".to_owned(), IDP_KEY.jwks()),
    ];
    let list = |words: Vec<&str>| serde_json::Value::from(words).to_string();
    for client in clients() {
        let id = client.id.as_str();
        write!(
            toml,
            "\n[[client]]\nid = {id:?}\nname = \"The app {id}\"\npublic = {}\nredirect_uris = {}\ngrants = {}\nscope = \"read write\"\n\
             resources = {}\nserves = {}\n",
            client.kind == ClientKind::Public,
            list(client.redirect_uris.iter().map(|uri| uri.as_str()).collect()),
            list(client.grant_types.iter().map(GrantType::as_str).collect()),
            list(client.resources.iter().map(String::as_str).collect()),
            list(client.serves.iter().map(String::as_str).collect()),
        )
        .expect("a string takes everything");
        let mut say = |line: String| writeln!(toml, "{line}").expect("a string takes everything");
        if !client.auth_methods.is_empty() {
            say(format!(
                "auth_methods = {}",
                list(client.auth_methods.iter().map(|method| method.as_str()).collect())
            ));
        }
        for secret in &client.secrets {
            say(format!("secret_hash = \"{}\"", secret.hash));
        }
        if !client.keys.entries().is_empty() {
            say(format!("jwks_file = \"{id}.json\""));
        }
        if client.token_format == TokenFormat::Opaque {
            say("access_token = \"opaque\"".to_owned());
        }
        if client.binding == TokenBinding::Required {
            say("dpop_bound = true".to_owned());
        }
        if client.pkce == Pkce::DangerExempt {
            say("no_pkce = true".to_owned());
        }
        say(format!(
            "access_seconds = {}\nrefresh_idle_seconds = {}\nrefresh_seconds = {}",
            client.lifetimes.access.as_secs(),
            client.lifetimes.refresh_idle.as_secs(),
            client.lifetimes.refresh_absolute.as_secs()
        ));
        for trusted in &client.trusted_issuers {
            say(format!(
                "[[client.trusted_issuer]]\nissuer = {:?}\njwks_file = \"idp.json\"",
                trusted.issuer
            ));
        }
    }
    files.push(("vestibule.toml".to_owned(), toml));
    files
}
