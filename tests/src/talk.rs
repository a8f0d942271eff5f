//! A program of `tests/peers` that speaks by lines of JSON.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// A running program of a peer. It is ended with this value.
#[derive(Debug)]
pub struct Talk {
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    stderr: ChildStderr,
}

/// No line is waited for longer.
const PATIENCE: Duration = Duration::from_secs(90);

impl Talk {
    /// Starts `node PROGRAM` in the folder of this peer, with the peer's own Node.
    ///
    /// # Panics
    /// When the peer is not installed, or cannot be started.
    pub fn start(peer: &str, program: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(peer);
        let node = folder.join("node_modules/.bin/node");
        assert!(
            node.exists(),
            "{peer} is not installed in {}: run tests/run, which installs it and runs all tests",
            folder.display()
        );
        let mut child = Command::new(node)
            .arg(program)
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {program}: {error}"));
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        Self {
            stdin: stdin.expect("it is piped"),
            lines: BufReader::new(stdout.expect("it is piped")).lines(),
            stderr: child.stderr.take().expect("it is piped"),
            child,
        }
    }

    /// Says something to it.
    ///
    /// # Panics
    /// When it has ended.
    pub async fn say(&mut self, what: &Value) {
        let line = format!("{what}\n");
        if let Err(error) = self.stdin.write_all(line.as_bytes()).await {
            panic!("nobody hears: {error}\n{}", self.last_words().await);
        }
    }

    /// What it says next.
    ///
    /// # Panics
    /// When it ends instead, says nothing for 90 seconds, or no JSON.
    pub async fn hear(&mut self) -> Value {
        match timeout(PATIENCE, self.lines.next_line()).await {
            Ok(Ok(Some(line))) => {
                serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
            }
            Ok(_) => panic!("it has ended:\n{}", self.last_words().await),
            Err(_) => panic!("it says nothing"),
        }
    }

    async fn last_words(&mut self) -> String {
        let mut words = String::new();
        // Whatever there is; it may be nothing.
        let _ = timeout(Duration::from_secs(5), self.stderr.read_to_string(&mut words)).await;
        let status = self.child.try_wait();
        format!("{status:?}\n{words}")
    }
}
