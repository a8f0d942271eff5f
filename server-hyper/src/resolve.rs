//! `vestibule resolve`: who is this, and where; each step with its time.

use std::io::Write;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Serialize;
use vestibule_atproto_identity::discover::{
    DiscoverError, Discovered, discover_from_pds, discover_from_server,
};
use vestibule_atproto_identity::net::Network;
use vestibule_atproto_identity::{
    Identity, InvalidLoginInput, LoginInput, ResolveError, ResolveOptions, ServerOrigin, resolve,
};
use vestibule_oauth_core::{BoxFuture, HttpCall, HttpClient, HttpError, TxtError, TxtLookup, TxtRecord};

use crate::Failed;
use crate::config::{NetworkArgs, ResolveArgs};

/// Runs the command. What it finds goes to standard output, in words or as JSON; it fails if anything is missing.
pub(crate) async fn run(args: &ResolveArgs) -> Result<ExitCode, Failed> {
    let recorder = Recorder { network: args.network.open()?, steps: Mutex::new(Vec::new()) };
    let found = find(&args.subject, &args.network, &recorder).await;
    let steps = recorder.steps.into_inner().unwrap_or_else(PoisonError::into_inner);
    let report = if args.json { in_json(&args.subject, &steps, &found) } else { in_words(&steps, &found) };
    writeln!(std::io::stdout(), "{report}")?;
    Ok(if found.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn find(subject: &str, args: &NetworkArgs, recorder: &Recorder) -> Result<Found, Stopped> {
    let development = args.development();
    let transport = development.transport();
    match LoginInput::parse(subject, None, development).map_err(Stopped::Input)? {
        LoginInput::Identity(identifier) => {
            let options = ResolveOptions::new(args.plc_url.clone()).with_development(development);
            let identity =
                resolve(&identifier, &options, recorder, recorder).await.map_err(Stopped::Resolve)?;
            let server =
                discover_from_pds(&identity.pds, transport, recorder).await.map_err(Stopped::Discover)?;
            Ok(Found { identity: Some(identity), server })
        }
        LoginInput::Server(origin) => {
            let server =
                discover_from_server(&origin, transport, recorder).await.map_err(Stopped::Discover)?;
            Ok(Found { identity: None, server })
        }
    }
}

struct Found {
    identity: Option<Identity>,
    server: Discovered,
}

/// Where the resolution stopped.
enum Stopped {
    Input(InvalidLoginInput),
    Resolve(ResolveError),
    Discover(DiscoverError),
}

impl Stopped {
    fn step(&self) -> &'static str {
        match self {
            Self::Input(_) => "input",
            Self::Resolve(ResolveError::Did(_) | ResolveError::Pds { .. }) => DID_DOCUMENT,
            Self::Resolve(_) => "handle",
            Self::Discover(
                DiscoverError::Unreachable { what, .. }
                | DiscoverError::Timeout { what, .. }
                | DiscoverError::Refused { what, .. },
            ) => step_of(what),
            Self::Discover(DiscoverError::Resource { .. } | DiscoverError::NotHttps { .. }) => PDS,
            Self::Discover(_) => SERVER,
        }
    }

    fn reason(&self) -> String {
        match self {
            Self::Input(error) => error.to_string(),
            Self::Resolve(error) => error.to_string(),
            Self::Discover(error) => error.to_string(),
        }
    }
}

const DID_DOCUMENT: &str = "DID document";
const PDS: &str = "PDS";
const SERVER: &str = "authorization server";

fn step_of(purpose: &str) -> &'static str {
    match purpose {
        "DID document" => DID_DOCUMENT,
        "protected resource metadata" => PDS,
        "authorization server metadata" => SERVER,
        _ => "well-known",
    }
}

/// One question to the network, and how it went.
struct Step {
    name: &'static str,
    target: String,
    took: Duration,
    outcome: String,
}

/// The network, with a note of every question and the time its answer took.
struct Recorder {
    network: Network,
    steps: Mutex<Vec<Step>>,
}

impl Recorder {
    fn note(&self, name: &'static str, target: String, since: Instant, outcome: String) {
        let step = Step { name, target, took: since.elapsed(), outcome };
        self.steps.lock().unwrap_or_else(PoisonError::into_inner).push(step);
    }
}

impl HttpClient for Recorder {
    fn send<'a>(&'a self, call: HttpCall) -> BoxFuture<'a, Result<http::Response<Bytes>, HttpError>> {
        Box::pin(async move {
            let (name, target) = (step_of(call.purpose), call.request.uri().to_string());
            let since = Instant::now();
            let answer = self.network.send(call).await;
            let outcome = match &answer {
                Ok(response) => format!("status {}", response.status().as_u16()),
                Err(error) => error.to_string(),
            };
            self.note(name, target, since, outcome);
            answer
        })
    }
}

impl TxtLookup for Recorder {
    fn txt<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<TxtRecord>, TxtError>> {
        Box::pin(async move {
            let since = Instant::now();
            let answer = self.network.txt(name).await;
            let outcome = match &answer {
                Ok(records) if records.is_empty() => "no record".to_owned(),
                Ok(records) => {
                    format!("{} record{}", records.len(), if records.len() == 1 { "" } else { "s" })
                }
                Err(error) => error.to_string(),
            };
            self.note("TXT", name.to_owned(), since, outcome);
            answer
        })
    }
}

fn in_words(steps: &[Step], found: &Result<Found, Stopped>) -> String {
    let mut lines: Vec<String> = steps
        .iter()
        .map(|step| {
            format!("{:<21} {:>6} ms  {}  ({})", step.name, step.took.as_millis(), step.target, step.outcome)
        })
        .collect();
    match found {
        Ok(found) => {
            if let Some(identity) = &found.identity {
                lines.push(format!("did     {}", identity.did));
                lines.push(format!("handle  {}", identity.shown_handle()));
            }
            if let Some(pds) = &found.server.pds {
                lines.push(format!("pds     {pds}"));
            }
            lines.push(format!("issuer  {}", found.server.issuer()));
        }
        Err(stopped) => lines.push(format!("failed at {}: {}", stopped.step(), stopped.reason())),
    }
    lines.join("\n")
}

fn in_json(subject: &str, steps: &[Step], found: &Result<Found, Stopped>) -> String {
    let steps = steps.iter().map(|step| StepReport {
        step: step.name,
        target: &step.target,
        outcome: &step.outcome,
        milliseconds: step.took.as_millis(),
    });
    let mut report = Report { subject, steps: steps.collect(), result: None, error: None };
    match found {
        Ok(found) => {
            let identity = found.identity.as_ref();
            report.result = Some(Answer {
                did: identity.map(|identity| identity.did.as_str()),
                handle: identity.map(Identity::shown_handle),
                pds: found.server.pds.as_ref().map(ServerOrigin::as_str),
                issuer: found.server.issuer().as_str(),
            });
        }
        Err(stopped) => report.error = Some(Stop { step: stopped.step(), reason: stopped.reason() }),
    }
    serde_json::to_string(&report).unwrap_or_default()
}

#[derive(Serialize)]
struct Report<'a> {
    subject: &'a str,
    steps: Vec<StepReport<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Answer<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Stop>,
}

#[derive(Serialize)]
struct StepReport<'a> {
    step: &'a str,
    target: &'a str,
    outcome: &'a str,
    milliseconds: u128,
}

#[derive(Serialize)]
struct Answer<'a> {
    did: Option<&'a str>,
    handle: Option<&'a str>,
    pds: Option<&'a str>,
    issuer: &'a str,
}

#[derive(Serialize)]
struct Stop {
    step: &'static str,
    reason: String,
}
