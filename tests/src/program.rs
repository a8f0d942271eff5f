//! A program that was started, that says on one line when it is ready, and that ends when it is told to.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// A running child with a piped standard input; what it prints is kept. Dropped, it is ended.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Kept,
    stderr: Kept,
    /// Hung up when the child's standard output is at its end. Locked by nobody: it makes this value one that threads
    /// can share.
    ended: Mutex<Receiver<()>>,
}

/// What a stream said so far.
#[derive(Clone, Default, Debug)]
struct Kept(Arc<Mutex<String>>);

impl Kept {
    fn lock(&self) -> MutexGuard<'_, String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Program {
    /// Starts it and waits for its first line on standard output. Blocks.
    ///
    /// # Errors
    /// When it cannot be started, ends first, or says nothing for that long; with what it said on standard error.
    pub(crate) fn start(command: Command, patience: Duration) -> Result<(Self, String), String> {
        Self::start_heard(command, patience, None)
    }

    /// The same, with what it says on standard error written down, too.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn start_heard(
        mut command: Command,
        patience: Duration,
        ledger: Option<File>,
    ) -> Result<(Self, String), String> {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start {name}: {error}"))?;
        let (stdout, stderr) = (Kept::default(), Kept::default());
        let stdin = child.stdin.take();
        let (first_line, line) = mpsc::channel();
        let (open, ended) = mpsc::channel::<()>();
        if let Some(stream) = child.stdout.take() {
            let kept = stdout.clone();
            thread::spawn(move || {
                let mut stream = BufReader::new(stream);
                let mut first = String::new();
                if stream.read_line(&mut first).is_ok() && first.ends_with('\n') {
                    kept.lock().push_str(&first);
                    // Nobody is there any more when the wait was given up.
                    let _ = first_line.send(first.trim_end().to_owned());
                }
                drop(first_line);
                keep(stream, &kept, None);
                drop(open);
            });
        }
        let errors = child.stderr.take().map(|stream| {
            let kept = stderr.clone();
            thread::spawn(move || keep(stream, &kept, ledger))
        });
        let mut program = Self { child, stdin, stdout, stderr, ended: Mutex::new(ended) };
        match line.recv_timeout(patience) {
            Ok(line) => Ok((program, line)),
            Err(waited) => {
                if waited == RecvTimeoutError::Timeout {
                    program.kill();
                }
                let status = program.child.wait().map_err(|error| error.to_string())?;
                // Its last words, all of them.
                let _ = errors.map(thread::JoinHandle::join);
                let what = match waited {
                    RecvTimeoutError::Timeout => format!("was not ready in {} s", patience.as_secs()),
                    RecvTimeoutError::Disconnected => format!("ended before it was ready ({status})"),
                };
                Err(format!("{name} {what}:\n{}", program.stderr()))
            }
        }
    }

    /// The process's id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it said so far on standard output.
    pub(crate) fn stdout(&self) -> String {
        self.stdout.lock().clone()
    }

    /// What it said so far on standard error.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.lock().clone()
    }

    /// Closes its standard input.
    pub(crate) fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Sends it a signal, by the system's own command: a call would be unsafe code.
    pub(crate) fn signal(&self, signal: &str) {
        let status = Command::new("kill").args(["-s", signal, &self.id().to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()), "kill -s {signal} {} failed", self.id());
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        // An error says that it has ended already.
        let _ = self.child.kill();
    }

    /// Waits until it ends; `None` when it did not in that time. Blocks.
    pub(crate) fn wait(&mut self, patience: Duration) -> Option<ExitStatus> {
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        match ended.recv_timeout(patience) {
            Err(RecvTimeoutError::Timeout) => None,
            _ => self.child.wait().ok(),
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.close_stdin();
        // Time enough to remove its temporary files.
        if self.wait(Duration::from_millis(1500)).is_none() {
            self.kill();
            let _ = self.child.wait();
        }
    }
}

/// Reads a stream to its end.
fn keep(mut stream: impl Read, kept: &Kept, mut ledger: Option<File>) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        if let Some(ledger) = &mut ledger {
            ledger.write_all(&buffer[..length]).expect("a line in the ledger");
        }
        kept.lock().push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use super::Program;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn the_first_line_makes_it_ready_and_a_closed_stdin_ends_it() {
        let (mut program, line) =
            Program::start(shell("echo ready; read x; echo over; exit 3"), PATIENCE).unwrap();
        assert_eq!(line, "ready");
        program.close_stdin();
        assert_eq!(program.wait(PATIENCE).and_then(|status| status.code()), Some(3));
        assert_eq!(program.stdout(), "ready\nover\n");
    }

    #[test]
    fn a_signal_reaches_it() {
        let script = "trap 'exit 4' TERM; echo ready; while :; do read x || exit 5; done";
        let (mut program, _) = Program::start(shell(script), PATIENCE).unwrap();
        program.signal("TERM");
        // The shell's `read` is interrupted by the signal or by the end of its input.
        program.close_stdin();
        assert_eq!(program.wait(PATIENCE).and_then(|status| status.code()), Some(4));
    }

    #[test]
    fn one_that_never_gets_ready_is_an_error_with_its_own_words() {
        let error = Program::start(shell("echo why >&2; exit 1"), PATIENCE).unwrap_err();
        assert!(error.contains("ended before it was ready") && error.contains("why"), "{error}");
        let error = Program::start(shell("exec cat"), Duration::from_millis(50)).unwrap_err();
        assert!(error.contains("was not ready"), "{error}");
        let error = Program::start(Command::new("no-such-program"), PATIENCE).unwrap_err();
        assert!(error.contains("cannot start no-such-program"), "{error}");
    }

    #[test]
    fn a_dropped_program_is_gone() {
        let (program, line) = Program::start(shell("trap '' HUP; echo $$; exec cat"), PATIENCE).unwrap();
        drop(program);
        let alive = Command::new("kill").args(["-s", "0", &line]).output().unwrap();
        assert!(!alive.status.success());
    }
}
