//! A PostgreSQL server of a test's own, on loopback.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::folder::Folder;
use crate::loopback::free_port;
use crate::program::Program;

const READY_IN: Duration = Duration::from_secs(60);

/// Whose processes a server's are where the test is root's: PostgreSQL refuses to be. The system's user for what owns nothing.
const NOBODY: u32 = 65_534;

/// A running server, with nothing in it. It ends with this value, and with the test, however that ends.
#[derive(Debug)]
pub struct Postgres {
    folder: Folder,
    programs: PathBuf,
    port: u16,
    as_nobody: bool,
    /// Ends the server when its standard input is closed.
    guard: Program,
}

impl Postgres {
    /// Starts one, which forgets what a crash of the machine would let it forget: tests do not last that long. Blocks.
    ///
    /// # Panics
    /// When no PostgreSQL is installed (`tests/run` sees to that), or when it does not start.
    pub fn start() -> Self {
        Self::start_with(&["-c", "fsync=off"], |_, _| {})
    }

    /// Starts one that is reached by TLS only, with a certificate for `localhost`, and gives the file of the authority that signed it. Blocks.
    ///
    /// # Panics
    /// As [`Self::start`], or when `openssl` makes no certificates.
    pub fn start_with_tls() -> (Self, PathBuf) {
        let tls = [
            "-c",
            "fsync=off",
            "-c",
            "ssl=on",
            "-c",
            "ssl_cert_file=../server.pem",
            "-c",
            "ssl_key_file=../server.key",
        ];
        let server = Self::start_with(&tls, |folder, as_nobody| {
            let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
            let name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
            let ca = [
                "req",
                "-x509",
                "-days",
                "2",
                "-subj",
                "/CN=authority",
                "-keyout",
                "ca.key",
                "-out",
                "ca.pem",
            ];
            let request = ["req", "-keyout", "server.key", "-out", "server.csr"];
            let sign =
                ["x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
            let rest = ["-days", "2", "-copy_extensions", "copyall", "-out", "server.pem"];
            for args in
                [[&ca[..], &key].concat(), [&request[..], &key, &name].concat(), [&sign[..], &rest].concat()]
            {
                run(as_user(Command::new("openssl").args(args), as_nobody, folder));
            }
            // Nobody comes in without TLS.
            let rules = "hostssl all all 127.0.0.1/32 trust\n";
            fs::write(folder.join("data/pg_hba.conf"), rules).expect("a file in the folder");
        });
        let ca = server.folder.file("ca.pem");
        (server, ca)
    }

    /// Starts one that keeps what it has answered, whatever happens. Blocks.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub fn start_durable() -> Self {
        Self::start_with(&[], |_, _| {})
    }

    /// `prepare` is given the folder, and whether it is nobody's.
    fn start_with(options: &[&str], prepare: impl FnOnce(&Path, bool)) -> Self {
        let programs =
            programs().expect("PostgreSQL is not installed: tests/run installs it, and runs all tests");
        let folder = Folder::new();
        let as_nobody = fs::metadata(folder.path()).expect("the folder").uid() == 0;
        if as_nobody {
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).expect("a folder for nobody");
        }
        let port = free_port();
        let data = folder.file("data");
        let mut initialise = Command::new(programs.join("initdb"));
        initialise.args([
            "--username=vestibule",
            "--auth=trust",
            "--encoding=UTF8",
            "--no-locale",
            "--no-sync",
        ]);
        run(as_user(initialise.arg("--pgdata").arg(&data), as_nobody, folder.path()));
        prepare(folder.path(), as_nobody);
        let settings = format!("-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories=''");
        let options = options.iter().fold(settings, |all, option| format!("{all} {option}"));
        fs::write(folder.file("options"), options).expect("a file in the folder");
        // Whoever holds the other end of its standard input is this process, and nobody else.
        let script = r#"start() { "$1/pg_ctl" -w -s -D data -l log -o "$(cat options)" start >&2; }
            start "$1" || { cat log >&2; exit 1; }
            echo ready
            cat >/dev/null
            "$1/pg_ctl" -s -D data -m immediate stop"#;
        let mut guard = Command::new("sh");
        as_user(guard.args(["-c", script, "guard"]).arg(&programs), as_nobody, folder.path());
        let (guard, _) = Program::start(guard, READY_IN).unwrap_or_else(|error| panic!("{error}"));
        Self { folder, programs, port, as_nobody, guard }
    }

    /// Makes a database, and gives the URL that `--store` takes. Blocks.
    ///
    /// # Panics
    /// When there is one of this name.
    pub fn database(&self, name: &str) -> String {
        let mut create = Command::new(self.programs.join("createdb"));
        let port = self.port.to_string();
        run(create.args(["--host=127.0.0.1", "--port", &port, "--username=vestibule", name]));
        format!("postgres://vestibule@127.0.0.1:{port}/{name}")
    }

    /// Asks a database, and gives what `psql` prints of the answer: a line for each row. Blocks.
    ///
    /// # Panics
    /// When it cannot be asked.
    pub fn ask(&self, database: &str, sql: &str) -> String {
        let mut ask = Command::new(self.programs.join("psql"));
        let port = self.port.to_string();
        ask.args([
            "--host=127.0.0.1",
            "--port",
            &port,
            "--username=vestibule",
            "--no-align",
            "--tuples-only",
            "-q",
        ]);
        run(ask.args(["--command", sql, database]))
    }

    /// Where its programs are, `pgbench` among them where it was installed.
    pub fn programs(&self) -> &Path {
        &self.programs
    }

    /// At which port of 127.0.0.1 it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Stops the server: connections are cut, and what was not committed is lost. Blocks.
    ///
    /// # Panics
    /// When it does not stop.
    pub fn stop(&self) {
        self.control(&["-m", "fast", "stop"]);
    }

    /// Starts it again, at the same place with what it had. Blocks.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_again(&self) {
        let options = fs::read_to_string(self.folder.file("options")).expect("a file in the folder");
        self.control(&["-l", "log", "-o", &options, "start"]);
    }

    fn control(&self, args: &[&str]) {
        let mut control = Command::new(self.programs.join("pg_ctl"));
        control.args(["-w", "-s", "-D", "data"]).args(args);
        // Not waited for by whoever reads what it prints: the server inherits that, and goes on.
        control
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null());
        let status = as_user(&mut control, self.as_nobody, self.folder.path()).status().expect("pg_ctl");
        assert!(status.success(), "pg_ctl {args:?}: {status}");
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.guard.close_stdin();
        // It is stopped when the guard ends, and its folder goes after that.
        let _ = self.guard.wait(READY_IN);
    }
}

fn as_user<'c>(command: &'c mut Command, as_nobody: bool, folder: &Path) -> &'c mut Command {
    command.current_dir(folder);
    if as_nobody { command.uid(NOBODY).gid(NOBODY) } else { command }
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// The folder of PostgreSQL's programs, of the newest version there is: where Debian has them, or on the path.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let number = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest =
        versions.map(|entry| entry.path()).max_by_key(|path| number(path)).map(|path| path.join("bin"));
    let on_path = std::env::var_os("PATH")
        .into_iter()
        .flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    newest
        .into_iter()
        .chain(on_path)
        .find(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file())
}
