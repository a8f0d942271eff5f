//! Sign-in by a form of one's own, the passwords kept by argon2id. Nothing is listened at: the form is sent here, too.
//!
//!     cargo run -p vestibule-strategy --example identity

use std::collections::BTreeMap;
use std::sync::Arc;

use argon2::Argon2;
use http::{HeaderMap, Method, Response};
use vestibule_oauth_core::seal::SealKeys;
use vestibule_oauth_core::{
    BoxFuture, HttpCall, HttpClient, HttpError, HttpErrorKind, Secret, Seed, UnixTime,
};
use vestibule_strategy::{
    CredentialsVerifier, Engine, FailureKind, Fault, FlowKeeping, Identity, IdentityForm, Incoming, Provider,
    SubmittedCredentials, VerifiedAccount,
};

/// Everybody who has an account. In earnest it is a table, and each salt 16 octets drawn when the password is set.
struct People {
    by_name: BTreeMap<String, Kept>,
    /// What a password that is typed for nobody is compared with, so that the time does not tell who has an account.
    nobody: Kept,
}

struct Kept {
    uid: String,
    salt: [u8; 16],
    hash: Secret<[u8; 32]>,
}

impl Kept {
    fn new(uid: &str, salt: [u8; 16], password: &str) -> Result<Self, Fault> {
        Ok(Self { uid: uid.to_owned(), salt, hash: Secret::new(hash(password, salt)?) })
    }
}

/// argon2id, 19 MiB and two passes: what the crate has as its default, and OWASP as its advice.
fn hash(password: &str, salt: [u8; 16]) -> Result<[u8; 32], Fault> {
    let mut out = [0; 32];
    let hashed = Argon2::default().hash_password_into(password.as_bytes(), &salt, &mut out);
    hashed.map_err(|error| Fault::new(FailureKind::Misconfigured, error.to_string()))?;
    Ok(out)
}

impl CredentialsVerifier for People {
    fn verify<'a>(
        &'a self,
        typed: &'a SubmittedCredentials,
    ) -> BoxFuture<'a, Result<Option<VerifiedAccount>, Fault>> {
        // It takes 20 milliseconds: in a server, in a thread for such work (`tokio::task::spawn_blocking`).
        Box::pin(async move {
            let kept = self.by_name.get(&typed.name);
            let compared = kept.unwrap_or(&self.nobody);
            let password = typed.password.as_ref().map_or("", |password| password.expose());
            let right = compared.hash.same_as(hash(password, compared.salt)?);
            Ok(kept.filter(|_| right).map(|kept| VerifiedAccount::new(&kept.uid)))
        })
    }
}

/// A form asks nobody.
struct Offline;

impl HttpClient for Offline {
    fn send<'a>(&'a self, _: HttpCall) -> BoxFuture<'a, Result<Response<bytes::Bytes>, HttpError>> {
        Box::pin(async { Err(HttpError::new(HttpErrorKind::Connect, "there is no network here")) })
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ada = Kept::new("1", *b"a salt of Ada's.", "lovelace")?;
    let people = People {
        by_name: [("ada@example.com".to_owned(), ada)].into(),
        nobody: Kept::new("", *b"a salt of nobody", "")?,
    };
    // <input name="user[email]"> <input name="user[password]" type="password">
    let form = IdentityForm::new("email").nested_in("user");
    let engine =
        Engine::builder("https://app.example".parse()?, &SealKeys::new([7; 32], []), FlowKeeping::Cookie)
            .provider(Provider::new("password".parse()?, Arc::new(Identity::new(form, Arc::new(people)))))
            .build()?;

    // POST /auth/password/callback, from a page of the site.
    let mut headers = HeaderMap::new();
    headers.insert("origin", "https://app.example".parse()?);
    let provider = "password".parse()?;
    for (typed, uid) in [
        ("user[email]=ada%40example.com&user[password]=lovelace", Some("1")),
        ("user[email]=ada%40example.com&user[password]=byron", None),
        ("user[email]=eve%40example.com&user[password]=lovelace", None),
        ("user[email]=&user[password]=lovelace", None),
    ] {
        let incoming = Incoming::new(&Method::POST, &headers, typed.as_bytes());
        let (seed, now) = (Seed::from_entropy([1; 32]), UnixTime::from_secs(1_700_000_000));
        match engine.finish(&provider, incoming, seed, now, &Offline).await.outcome {
            Ok(auth) => assert_eq!(Some(auth.uid.as_str()), uid),
            // The same for a wrong password and for nobody.
            Err(failure) => assert_eq!((failure.kind().code(), uid), ("invalid_credentials", None)),
        }
    }
    Ok(())
}
