//! A program whose clock is set while it serves.
//!
//! The clock of a machine cannot be set for a test. So the server is a process of its own, in which
//! libfaketime replaces the wall clock. It is this test program, with the address of its router in
//! the environment. A file has the difference to the real time, and may be changed at any time.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
    sync::Arc,
    time::Duration,
};

use eepkit::{Router, Stream};
use eepkit_interop::Peer;
use libtest_mimic::{Failed, Trial};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::{sleep, timeout},
};

use crate::{
    lab::{Lab, Outcome, STEP_LIMIT, connect, same, say},
    net::{Net, OURS, THEIRS},
};

pub(crate) fn add(lab: &Arc<Lab>, trials: &mut Vec<Trial>) {
    let missing = library().is_none();
    let missing = missing.then(|| "install libfaketime (apt-get install faketime)".to_owned());
    lab.add_client(
        trials,
        "emissary::a_clock_that_is_set_does_no_harm",
        missing,
        steps,
    );
}

async fn steps(_lab: Arc<Lab>) -> Outcome {
    let net = Net::start(Peer::Emissary).await?;
    let mut server = Server::start(&net).await?;
    let client = net.session_at(net.i2cp(THEIRS)?).await?;
    let to = format!("{}:80", server.destination);
    let mut standing = connect(&client, &to).await?;
    echo(&mut standing).await?;
    for ahead in STEPS {
        server.set_clock(ahead)?;
        let shown = server.clock().await?;
        let difference = shown - seconds() - ahead;
        same("the clock is set", difference.abs() < 5, true)?;
        // The clocks are compared every five seconds.
        sleep(NOTICED).await;
        echo(&mut standing).await?;
        let mut stream = connect(&client, &to).await?;
        echo(&mut stream).await?;
        say(&format!("reached with a clock that is {ahead} s ahead"));
    }
    server.ends().await
}

async fn echo(stream: &mut Stream) -> Outcome {
    let mut data = [0; 4];
    stream.write_all(b"ping").await?;
    stream.flush().await?;
    timeout(STEP_LIMIT, stream.read_exact(&mut data)).await??;
    same("the answer", &data, b"ping")
}

/// The process of the server.
#[derive(Debug)]
struct Server {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    destination: String,
    dir: tempfile::TempDir,
}

impl Server {
    async fn start(net: &Net) -> Result<Self, Failed> {
        let dir = tempfile::TempDir::with_prefix("eepkit-clock-")?;
        fs::write(dir.path().join(FILE), "+0")?;
        let mut child = Command::new(env::current_exe()?)
            .env(ROUTER, net.i2cp(OURS)?.to_string())
            .env("LD_PRELOAD", library().ok_or("no libfaketime")?)
            .env("FAKETIME_TIMESTAMP_FILE", dir.path().join(FILE))
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = child.stdout.take().ok_or("no output")?;
        let mut lines = BufReader::new(stdout).lines();
        let destination = timeout(STEP_LIMIT, lines.next_line()).await??;
        Ok(Self {
            child,
            lines,
            destination: destination.ok_or("the server ended")?,
            dir,
        })
    }

    /// Sets the clock of the process ahead of the real time, or behind it.
    fn set_clock(&self, ahead: i64) -> Outcome {
        let file = self.dir.path().join(FILE);
        let new = file.with_extension("new");
        fs::write(&new, format!("{ahead:+}"))?;
        fs::rename(new, file)?;
        Ok(())
    }

    /// The clock of the process, in seconds since the epoch.
    async fn clock(&mut self) -> Result<i64, Failed> {
        let stdin = self.child.stdin.as_mut().ok_or("no input")?;
        stdin.write_all(b"?\n").await?;
        let line = timeout(STEP_LIMIT, self.lines.next_line()).await??;
        Ok(line.ok_or("the server ended")?.parse()?)
    }

    /// Ends the server, which prints how often its session was lost.
    async fn ends(&mut self) -> Outcome {
        drop(self.child.stdin.take());
        let lost = timeout(STEP_LIMIT, self.lines.next_line()).await??;
        same("sessions lost", lost.as_deref(), Some("0"))
    }
}

/// Runs the server, if this process is to be one.
pub(crate) fn serve_if_requested() -> Option<ExitCode> {
    let router = env::var(ROUTER).ok()?;
    let runtime = tokio::runtime::Runtime::new().ok()?;
    Some(match runtime.block_on(serve(&router)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("the server failed: {:?}", error.message()));
            ExitCode::FAILURE
        }
    })
}

#[expect(clippy::print_stdout, reason = "the other process reads it")]
async fn serve(router: &str) -> Outcome {
    let router = Router::attach(&format!("i2cp://{router}"))?;
    let builder = router.session().tunnel_length(2).tunnel_quantity(3);
    let session = builder.open_timeout(STEP_LIMIT).open().await?;
    let listener = session.listen(80)?;
    println!("{}", session.destination().to_b32());
    tokio::spawn(async move {
        while let Ok(stream) = listener.accept().await {
            tokio::spawn(async move {
                let (mut reader, mut writer) = stream.into_split();
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
            });
        }
    });
    let mut questions = BufReader::new(tokio::io::stdin()).lines();
    while questions.next_line().await?.is_some() {
        println!("{}", seconds());
    }
    println!("{}", session.status().attempt().saturating_sub(1));
    Ok(())
}

/// The clock of this process, in seconds since the epoch.
fn seconds() -> i64 {
    i64::try_from(eepkit::clock::unix_now().as_secs()).unwrap_or(i64::MAX)
}

/// libfaketime for programs with threads, as Debian installs it.
fn library() -> Option<PathBuf> {
    let libraries = fs::read_dir("/usr/lib").ok()?;
    libraries
        .flatten()
        .map(|entry| entry.path().join(Path::new("faketime/libfaketimeMT.so.1")))
        .find(|library| library.exists())
}

/// The address of the router, in the environment of the server.
const ROUTER: &str = "EEPKIT_INTEROP_CLOCK_SERVER";

/// The file that has the difference to the real time, in seconds.
const FILE: &str = "clock";

/// How far the clock is set ahead of the real time, in seconds, one after the other.
const STEPS: [i64; 6] = [3_600, 0, -3_600, 0, 86_400, -86_400];

/// The time after which a step has been noticed.
const NOTICED: Duration = Duration::from_secs(6);
