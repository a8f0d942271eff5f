//! The `vestibule` program, as a child process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs, mem};

use tokio::task::spawn_blocking;
use tokio::time::{interval, timeout};

use crate::folder::Folder;
use crate::ledger;
use crate::peers::Peers;
use crate::program::Program;

/// A start is far below a second; a busy machine is slower.
const READY_IN: Duration = Duration::from_secs(30);
/// Draining may wait for calls that are under way.
const ENDS_IN: Duration = Duration::from_secs(45);
/// How often what it said is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Resolving a name that nobody answers for takes its time.
const COMMAND_ENDS_IN: Duration = Duration::from_secs(60);

/// How to start `vestibule serve`. The default has a folder of its own for store and secret, any free port, and nothing
/// else.
#[derive(Clone, Debug)]
pub struct VestibuleConfig {
    /// Its working folder, where store and secret are; several configurations may share one.
    pub folder: Arc<Folder>,
    /// `--listen`.
    pub listen: String,
    /// `--store`; by default an SQLite file in the folder.
    pub store: Option<String>,
    /// More arguments.
    pub args: Vec<String>,
    /// More environment. No variable `VESTIBULE_…` of the test's own environment is passed on.
    pub env: Vec<(String, String)>,
    /// A program to run it under, with its arguments, such as `valgrind`.
    pub under: Vec<String>,
}

impl Default for VestibuleConfig {
    fn default() -> Self {
        Self {
            folder: Arc::new(Folder::new()),
            listen: "127.0.0.1:0".to_owned(),
            store: None,
            args: Vec::new(),
            env: Vec::new(),
            under: Vec::new(),
        }
    }
}

impl VestibuleConfig {
    /// One that asks these peers, and trusts their certificates.
    pub fn for_peers(peers: &Peers) -> Self {
        let (dns, ca) = (peers.dns.to_string(), peers.tls.ca.display().to_string());
        Self::default().with_args(&[
            "--plc-url",
            &peers.plc,
            "--dns",
            &dns,
            "--ca-file",
            &ca,
            "--allow-private-network",
        ])
    }

    /// The same with more arguments.
    #[must_use]
    pub fn with_args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|arg| (*arg).to_owned()));
        self
    }

    /// The same with one more environment variable.
    #[must_use]
    pub fn with_env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same with a file in its folder; `vestibule.toml` is the configuration that it reads unasked.
    ///
    /// # Panics
    /// When the file cannot be written.
    #[must_use]
    pub fn with_file(self, name: &str, text: &str) -> Self {
        fs::write(self.folder.file(name), text).unwrap_or_else(|error| panic!("{name}: {error}"));
        self
    }

    /// The same over a copy of its folder as it is now, at any free port. A program that writes to it should not run.
    ///
    /// # Panics
    /// When something cannot be copied.
    #[must_use]
    pub fn copied(&self) -> Self {
        let folder = Folder::new();
        for file in fs::read_dir(self.folder.path()).expect("the folder is there").flatten() {
            let copy = folder.path().join(file.file_name());
            fs::copy(file.path(), copy).unwrap_or_else(|error| panic!("{}: {error}", file.path().display()));
        }
        Self { folder: Arc::new(folder), listen: "127.0.0.1:0".to_owned(), ..self.clone() }
    }

    fn command(&self) -> Result<Command, String> {
        let mut command = program(self.folder.path(), &self.under)?;
        let database = self.folder.file("vestibule.db");
        let store = self.store.clone().unwrap_or_else(|| format!("sqlite:{}", database.display()));
        command.args(["serve", "--listen", &self.listen, "--store", &store, "--secret-file"]);
        command.arg(self.folder.file("vestibule.secret")).args(&self.args);
        if ledger::folder().is_some() {
            command.env("VESTIBULE_LOG", "trace");
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }
}

/// A running `vestibule serve`. It ends when this value goes.
#[derive(Debug)]
pub struct Vestibule {
    config: VestibuleConfig,
    state: State,
    /// Where it listens.
    listens: SocketAddr,
    /// Where it is reached: there, or at a balancer.
    address: SocketAddr,
}

#[derive(Debug)]
enum State {
    Running(Program),
    /// Ended, with what it said.
    Ended {
        stdout: String,
        stderr: String,
    },
}

impl Vestibule {
    /// Starts it and waits until it is ready.
    ///
    /// # Panics
    /// When it cannot be started: the message says why.
    pub async fn start(config: VestibuleConfig) -> Self {
        Self::try_start(config).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// When it ends first, with what it said on standard error; when its first line is not the one it owes.
    pub async fn try_start(config: VestibuleConfig) -> Result<Self, String> {
        let (program, address) = launch(&config).await?;
        Ok(Self { config, state: State::Running(program), listens: address, address })
    }

    /// The same server, reached through a balancer at this address from now on.
    #[must_use]
    pub const fn behind(mut self, balancer: SocketAddr) -> Self {
        self.address = balancer;
        self
    }

    /// Where it listens, whoever is in front of it.
    pub const fn listens(&self) -> SocketAddr {
        self.listens
    }

    /// Where it is reached.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The id of its process.
    ///
    /// # Panics
    /// When it has ended already.
    pub fn id(&self) -> u32 {
        match &self.state {
            State::Running(program) => program.id(),
            State::Ended { .. } => panic!("vestibule has ended already"),
        }
    }

    /// The URL of a path of it, which begins with a slash, by plain HTTP at the address where it is reached.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Its configuration.
    pub const fn config(&self) -> &VestibuleConfig {
        &self.config
    }

    /// What it said so far on standard error.
    pub fn logs(&self) -> String {
        match &self.state {
            State::Running(program) => program.stderr(),
            State::Ended { stderr, .. } => stderr.clone(),
        }
    }

    /// What it said so far on standard output: one line, if all is right.
    pub fn stdout(&self) -> String {
        match &self.state {
            State::Running(program) => program.stdout(),
            State::Ended { stdout, .. } => stdout.clone(),
        }
    }

    /// Asks it to end by SIGTERM, waits for that, and gives its exit code.
    ///
    /// # Panics
    /// When it has ended already, does not end in 45 seconds, or is ended by the signal itself.
    pub async fn terminate(&mut self) -> i32 {
        self.signal_and_wait("TERM").await
    }

    /// Like [`terminate`](Self::terminate), with another signal, such as `INT`.
    ///
    /// # Panics
    /// As there.
    pub async fn signal_and_wait(&mut self, signal: &'static str) -> i32 {
        self.after(move |program| program.signal(signal)).await
    }

    /// Does this to it, waits until it ends, and gives its exit code.
    async fn after(&mut self, act: impl FnOnce(&Program) + Send + 'static) -> i32 {
        let mut program = self.running();
        let (program, status) = spawn_blocking(move || {
            act(&program);
            let status = program.wait(ENDS_IN);
            (program, status)
        })
        .await
        .expect("waiting for vestibule panicked");
        self.ended(&program);
        let Some(status) = status else {
            panic!("vestibule did not end in {} s:\n{}", ENDS_IN.as_secs(), self.logs())
        };
        status.code().unwrap_or_else(|| panic!("vestibule was ended by a signal: {status}"))
    }

    /// Sends it a signal, such as `TERM`, and does not wait.
    ///
    /// # Panics
    /// When it has ended already.
    pub fn signal(&self, signal: &str) {
        match &self.state {
            State::Running(program) => program.signal(signal),
            State::Ended { .. } => panic!("vestibule has ended already"),
        }
    }

    /// Waits until it ends, and gives its exit code.
    ///
    /// # Panics
    /// When it has ended already, does not end in 45 seconds, or is ended by a signal.
    pub async fn exit_code(&mut self) -> i32 {
        self.after(|_| ()).await
    }

    /// Waits until it has said this on standard error.
    ///
    /// # Panics
    /// When it does not in 45 seconds.
    pub async fn says(&self, text: &str) {
        let mut looks = interval(LOOK_AGAIN);
        let said = async {
            while !self.logs().contains(text) {
                looks.tick().await;
            }
        };
        if timeout(ENDS_IN, said).await.is_err() {
            panic!("vestibule did not say {text:?}:\n{}", self.logs());
        }
    }

    /// Ends it at once, as a power cut does.
    ///
    /// # Panics
    /// When it has ended already.
    pub async fn kill(&mut self) {
        let mut program = self.running();
        let program = spawn_blocking(move || {
            program.kill();
            program.wait(ENDS_IN);
            program
        })
        .await
        .expect("killing vestibule panicked");
        self.ended(&program);
    }

    /// Starts it again at the same port, over the same folder and store. One that still runs is terminated first.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn restart(&mut self) {
        if matches!(self.state, State::Running(_)) {
            self.terminate().await;
        }
        self.config.listen = self.listens.to_string();
        let (program, _) = launch(&self.config).await.unwrap_or_else(|error| panic!("{error}"));
        self.state = State::Running(program);
    }

    /// Runs a subcommand, such as `client list`, in its folder and over its store.
    ///
    /// # Panics
    /// As [`run_vestibule`].
    pub async fn command(&self, args: &[&str]) -> Outcome {
        let folder = &self.config.folder;
        let store = format!("sqlite:{}", folder.file("vestibule.db").display());
        let secret = folder.file("vestibule.secret").display().to_string();
        let args = [args, &["--store", &store, "--secret-file", &secret]].concat();
        run_vestibule(folder.path(), &args).await
    }

    fn running(&mut self) -> Program {
        let ended = State::Ended { stdout: String::new(), stderr: String::new() };
        match mem::replace(&mut self.state, ended) {
            State::Running(program) => program,
            State::Ended { .. } => panic!("vestibule has ended already"),
        }
    }

    fn ended(&mut self, program: &Program) {
        self.state = State::Ended { stdout: program.stdout(), stderr: program.stderr() };
    }
}

impl Drop for Vestibule {
    fn drop(&mut self) {
        // It has nothing to put in order, and a test that wants to see it end has told it to.
        if let State::Running(program) = &mut self.state {
            program.kill();
        }
    }
}

async fn launch(config: &VestibuleConfig) -> Result<(Program, SocketAddr), String> {
    let command = config.command()?;
    let (program, line) = spawn_blocking(move || Program::start_heard(command, READY_IN, ledger::log()))
        .await
        .map_err(|error| format!("starting vestibule: {error}"))??;
    let secret = fs::read_to_string(config.folder.file("vestibule.secret")).unwrap_or_default();
    secret.lines().for_each(|line| ledger::note("master secret", line));
    let address = line.strip_prefix("listening on http://").and_then(|address| address.parse().ok());
    let address = address.ok_or_else(|| format!("the first line of vestibule is {line:?}"))?;
    Ok((program, address))
}

/// What a subcommand did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it said on standard output.
    pub stdout: String,
    /// What it said on standard error.
    pub stderr: String,
}

/// Runs a subcommand, such as `resolve alice.test`, in this folder, to its end.
///
/// # Panics
/// When it cannot be started, or does not end in 60 seconds.
pub async fn run_vestibule(folder: &Path, args: &[&str]) -> Outcome {
    let mut command =
        tokio::process::Command::from(program(folder, &[]).unwrap_or_else(|error| panic!("{error}")));
    command.args(args).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(COMMAND_ENDS_IN, command.output())
        .await
        .unwrap_or_else(|_| panic!("vestibule {args:?} did not end in {} s", COMMAND_ENDS_IN.as_secs()))
        .unwrap_or_else(|error| panic!("vestibule {args:?}: {error}"));
    Outcome {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The program, about to run in this folder without what the environment says to a `vestibule`, under another if there is one.
fn program(folder: &Path, under: &[String]) -> Result<Command, String> {
    let binary = binary()?;
    let mut command = match under {
        [] => Command::new(binary),
        [outer, args @ ..] => {
            let mut command = Command::new(outer);
            command.args(args).arg(binary);
            command
        }
    };
    command.current_dir(folder);
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("VESTIBULE_") {
            command.env_remove(name);
        }
    }
    Ok(command)
}

/// The program beside what runs: `target/debug/vestibule` for `target/debug/deps/e2e-…` or `target/debug/examples/soak`. Cargo tells the path
/// of a program to the tests of its own package only.
fn binary() -> Result<PathBuf, String> {
    let test = env::current_exe().map_err(|error| format!("this test's own path: {error}"))?;
    let is_beside = |path: &&Path| path.file_name().is_some_and(|name| name == "deps" || name == "examples");
    let deps = test.ancestors().find(is_beside);
    let profile = deps
        .and_then(Path::parent)
        .ok_or_else(|| format!("{} is neither in deps nor in examples", test.display()))?;
    let binary = profile.join(format!("vestibule{}", env::consts::EXE_SUFFIX));
    if binary.exists() {
        Ok(binary)
    } else {
        Err(format!(
            "{} is not built: run tests/run, or cargo build --workspace --bins first",
            binary.display()
        ))
    }
}
