//! Runs the program under test.

use std::{
    fmt::Write,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio},
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc::{Receiver, RecvTimeoutError, sync_channel},
    },
    thread,
    time::Duration,
};

use tokio::time::Instant;

/// The program without environment variables of the caller that affect it.
pub(crate) fn eepkit() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_eepkit"));
    command.stdin(Stdio::null());
    for name in [
        "RUST_LOG",
        "EEPKIT_ROUTER",
        "EEPKIT_LOGIN_FILE",
        "EEPKIT_STATE",
        "EEPKIT_CONFIG",
        "COLUMNS",
        "CLICOLOR_FORCE",
    ] {
        command.env_remove(name);
    }
    command.env("NO_COLOR", "1");
    // A control socket for each, so that programs of several tests can run at the same time.
    command.env("EEPKIT_CONTROL", temporary("sock"));
    // The address book of the caller must not be used.
    command.env("EEPKIT_ADDRESSBOOK", temporary("redb"));
    command
}

/// A path that no other command uses.
fn temporary(extension: &str) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("eepkit-test-{}-{number}.{extension}", std::process::id());
    std::env::temp_dir().join(name)
}

/// Runs the program in `directory` until it ends.
pub(crate) fn run_in(directory: &Path, arguments: &[&str]) -> Output {
    eepkit()
        .current_dir(directory)
        .args(arguments)
        .output()
        .expect("the program runs")
}

/// Formats the exit code and both outputs for a snapshot.
pub(crate) fn report(output: &Output) -> String {
    let mut report = String::new();
    let code = output
        .status
        .code()
        .map_or_else(|| "none".to_owned(), |code| code.to_string());
    let _ = writeln!(report, "exit code: {code}");
    for (name, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
        let text = String::from_utf8_lossy(bytes);
        let _ = writeln!(report, "----- {name} -----\n{}", text.trim_end());
    }
    report
}

/// The running program. It is killed when dropped.
#[cfg(unix)]
pub(crate) struct Running {
    child: Child,
    what: String,
    lines: Receiver<String>,
}

#[cfg(unix)]
impl Running {
    /// Starts the program, so that tests can wait for lines on its standard error.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let stderr = child.stderr.take().expect("piped");
        let what = format!("{:?}", command.get_args().collect::<Vec<_>>());
        Self {
            child,
            what,
            lines: lines(stderr),
        }
    }

    /// Starts the program, so that tests can wait for lines on its standard output.
    pub(crate) fn start_for_output(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let stdout = child.stdout.take().expect("piped");
        let what = format!("{:?}", command.get_args().collect::<Vec<_>>());
        Self {
            child,
            what,
            lines: lines(stdout),
        }
    }

    /// Returns its standard input, which must be a pipe.
    pub(crate) fn take_stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("piped")
    }

    /// Waits for the first line that starts with `start`, and returns its rest.
    pub(crate) fn wait_for_line(&self, start: &str) -> String {
        let end = Instant::now() + TIMEOUT;
        let mut before = String::new();
        loop {
            match self
                .lines
                .recv_timeout(end.saturating_duration_since(Instant::now()))
            {
                Ok(line) => match line.strip_prefix(start) {
                    Some(rest) => return rest.to_owned(),
                    None => before.push_str(&(line + "\n")),
                },
                Err(RecvTimeoutError::Timeout) => {
                    panic!(
                        "{}: no line {start:?} in {TIMEOUT:?}, only:\n{before}",
                        self.what
                    )
                }
                Err(RecvTimeoutError::Disconnected) => {
                    panic!(
                        "{}: ended without the line {start:?}, with:\n{before}",
                        self.what
                    )
                }
            }
        }
    }

    /// Sends a signal, by its name without SIG.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([format!("-{name}"), self.child.id().to_string()])
            .status()
            .expect("kill runs");
        assert!(status.success());
    }

    /// Waits until the program ends.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let end = Instant::now() + TIMEOUT;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            if Instant::now() > end {
                let lines: Vec<_> = self.lines.try_iter().collect();
                panic!(
                    "{}: still runs after {TIMEOUT:?}; last lines: {lines:?}",
                    self.what
                );
            }
            // The standard library has no wait with a timeout.
            thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// Waits until the program ends, which must be a success.
    pub(crate) fn wait_for_success(&mut self) {
        let status = self.wait();
        let lines: Vec<_> = self.lines.try_iter().collect();
        assert!(
            status.success(),
            "{}: {status}; last lines: {lines:?}",
            self.what
        );
    }
}

#[cfg(unix)]
impl Drop for Running {
    fn drop(&mut self) {
        // It has usually ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads the lines of an output in a thread, so that waiting for them can have a timeout. Lines
/// above the capacity of the channel remain in the pipe.
#[cfg(unix)]
fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (tell, lines) = sync_channel(1024);
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if tell.send(line).is_err() {
                break;
            }
        }
    });
    lines
}

/// The timeout of every wait. Chosen far above the duration on a busy machine.
#[cfg(unix)]
const TIMEOUT: Duration = Duration::from_secs(90);
