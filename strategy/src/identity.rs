//! Any form of this site: a name and a password, or whatever else the application asks for.

use std::sync::Arc;

use serde_json::Value;
use vestibule_oauth_core::{BoxFuture, HttpClient, Params, Secret};

use crate::auth::{Auth, Info};
use crate::failure::{FailureKind, Fault};
use crate::strategy::{Begin, CallbackCx, CsrfGuard, RequestCx, Strategy};
use crate::user_fields::UserField;

/// Says whether what somebody typed is right. It is the application's: it knows the accounts and how their passwords are kept.
///
/// Hash a password that is typed for nobody as well, or the time tells who has an account.
pub trait CredentialsVerifier: Send + Sync {
    /// The account that these credentials are of; `None` if they are of none, for whatever reason.
    ///
    /// # Errors
    /// A [`Fault`] when it cannot be told: a store that is down.
    fn verify<'a>(
        &'a self,
        typed: &'a SubmittedCredentials,
    ) -> BoxFuture<'a, Result<Option<VerifiedAccount>, Fault>>;
}

/// What somebody typed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SubmittedCredentials {
    /// Who they say they are.
    pub name: String,
    /// The password; `None` if none was typed.
    pub password: Option<Secret>,
    /// The password a second time, where the form asks for it.
    pub password_confirmation: Option<Secret>,
    /// What else was typed about the person. Nothing of it is verified.
    pub info: Info,
}

/// An account that was found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct VerifiedAccount {
    /// Its permanent name.
    pub uid: String,
    /// What is known about the person, in place of what was typed.
    pub info: Info,
}

impl VerifiedAccount {
    /// An account of which nothing else is known.
    pub fn new(uid: impl Into<String>) -> Self {
        Self { uid: uid.into(), info: Info::default() }
    }
}

/// The names of a form's fields.
///
/// ```
/// use vestibule_strategy::{IdentityForm, UserField};
///
/// // <input name="user[email]"> <input name="user[password]" type="password">
/// let form = IdentityForm::new("email").nested_in("user").with(UserField::Email, "email");
/// assert_eq!(form.field_name("password"), "user[password]");
/// assert_eq!(form.nested_in("login").field_name("email"), "user[login][email]");
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct IdentityForm {
    name: String,
    password: String,
    password_confirmation: String,
    nesting: Vec<String>,
    fields: Vec<(UserField, String)>,
}

impl IdentityForm {
    /// A form in which `name` is who somebody says they are, and `password` the password.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            password: "password".to_owned(),
            password_confirmation: "password_confirmation".to_owned(),
            nesting: Vec::new(),
            fields: Vec::new(),
        }
    }

    /// The same form, its fields named `nesting[field]`; said twice, `nesting[inner][field]`.
    pub fn nested_in(mut self, nesting: impl Into<String>) -> Self {
        self.nesting.push(nesting.into());
        self
    }

    /// The same form with other names for the password and its repetition.
    pub fn with_passwords(mut self, password: impl Into<String>, again: impl Into<String>) -> Self {
        self.password = password.into();
        self.password_confirmation = again.into();
        self
    }

    /// The same form with one field more about the person.
    pub fn with(mut self, field: UserField, name: impl Into<String>) -> Self {
        self.fields.push((field, name.into()));
        self
    }

    /// The whole name of a field, as it stands in the page.
    pub fn field_name(&self, field: &str) -> String {
        let mut names = self.nesting.iter().map(String::as_str).chain([field]);
        let outermost = names.next().unwrap_or_default().to_owned();
        names.fold(outermost, |outer, inner| format!("{outer}[{inner}]"))
    }

    /// What was typed; a field that is blank was not filled in.
    fn read(&self, params: &Params<'_>) -> Result<SubmittedCredentials, Fault> {
        let value = |field: &str| params.value(&self.field_name(field));
        let typed =
            |field: &str| value(field).map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
        // A password is taken as it is: spaces are part of it.
        let secret = |field: &str| value(field).map(|text| Secret::new(text.to_owned()));
        let mut info = Info::default();
        for (field, name) in &self.fields {
            if let Some(text) = typed(name) {
                crate::user_fields::put(&mut info, *field, &Value::String(text));
            }
        }
        // Nobody has looked whether the address is theirs.
        info.email_verified = None;
        let (name, password) = (typed(&self.name), secret(&self.password));
        let Some(name) = name else {
            let mut fault = Fault::new(FailureKind::InvalidCredentials, "the form names nobody")
                .and("missing_name", "Say who you are.");
            if password.is_none_or(|password| password.expose().is_empty()) {
                fault = fault.and("missing_password", "Type your password.");
            }
            return Err(fault);
        };
        Ok(SubmittedCredentials {
            name,
            password,
            password_confirmation: secret(&self.password_confirmation),
            info,
        })
    }
}

/// Sign-in by a form of this site. The request phase is the application's own page; the callback is the form, which only a page of
/// this site can have sent ([`CsrfGuard::SameOriginPost`]).
///
/// Whatever is wrong with what was typed, the failure is the same, `invalid_credentials`, so that nobody learns who has an account.
/// Neither the password nor the form is in [`Auth::extra`].
///
/// ```
/// use std::sync::Arc;
/// use vestibule_oauth_core::BoxFuture;
/// use vestibule_strategy::{CredentialsVerifier, Fault, Identity, IdentityForm, VerifiedAccount, Strategy, SubmittedCredentials};
///
/// struct Ada; // in earnest: a look-up, and argon2id in a thread of its own, as in the example `identity`
///
/// impl CredentialsVerifier for Ada {
///     fn verify<'a>(&'a self, typed: &'a SubmittedCredentials) -> BoxFuture<'a, Result<Option<VerifiedAccount>, Fault>> {
///         let right = typed.name == "ada" && typed.password.as_ref().is_some_and(|secret| secret.same_as("lovelace"));
///         Box::pin(async move { Ok(right.then(|| VerifiedAccount::new("1"))) })
///     }
/// }
///
/// assert_eq!(Identity::new(IdentityForm::new("name"), Arc::new(Ada)).kind(), "identity");
/// ```
#[derive(Clone)]
pub struct Identity {
    form: IdentityForm,
    verifier: Arc<dyn CredentialsVerifier>,
}

impl Identity {
    /// A strategy for this form.
    pub fn new(form: IdentityForm, verifier: Arc<dyn CredentialsVerifier>) -> Self {
        Self { form, verifier }
    }

    async fn sign_in(&self, cx: &CallbackCx<'_>) -> Result<Auth, Fault> {
        let refused = |detail| Fault::new(FailureKind::InvalidCredentials, detail);
        let typed = self.form.read(cx.params)?;
        let again = typed.password_confirmation.as_ref().map(|secret| secret.expose());
        if again.is_some_and(|again| !typed.password.as_ref().is_some_and(|secret| secret.same_as(again))) {
            return Err(refused("the password and its repetition differ")
                .with_hint("The two passwords are not the same. Type them again."));
        }
        let known = self.verifier.verify(&typed).await?;
        let VerifiedAccount { uid, info } =
            known.ok_or_else(|| refused("the verifier knows no such credentials"))?;
        let mut auth = Auth::new(uid, cx.provider.clone(), "identity");
        auth.info = if info == Info::default() { typed.info } else { info };
        if auth.info.name.is_none() {
            auth.info.name = Some(typed.name);
        }
        Ok(auth)
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("form", &self.form).finish_non_exhaustive()
    }
}

impl Strategy for Identity {
    fn kind(&self) -> &'static str {
        "identity"
    }

    fn csrf(&self) -> CsrfGuard {
        CsrfGuard::SameOriginPost
    }

    fn request<'a>(&'a self, _: RequestCx<'a>, _: &'a dyn HttpClient) -> BoxFuture<'a, Result<Begin, Fault>> {
        Box::pin(std::future::ready(Ok(Begin::PassThrough)))
    }

    fn callback<'a>(
        &'a self,
        cx: CallbackCx<'a>,
        _: &'a dyn HttpClient,
    ) -> BoxFuture<'a, Result<Auth, Fault>> {
        Box::pin(async move { self.sign_in(&cx).await })
    }
}
