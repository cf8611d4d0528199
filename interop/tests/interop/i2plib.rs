//! Tests of our bridge with i2plib 0.0.14, the SAM library of many Python programs, unmodified.

use std::{
    net::{Ipv4Addr, SocketAddr},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use eepkit_interop::I2plib;
use libtest_mimic::{Failed, Trial};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    net::{TcpListener, TcpStream},
    process::{Child, ChildStdout, Command},
    time::{Instant, sleep, timeout},
};

use crate::lab::{Lab, Outcome, STEP_LIMIT, noise, same, say};

/// The time limit of i2plib's own tests together. Chosen because there are seven, and each opens
/// new sessions.
const SUITE_LIMIT: Duration = Duration::from_secs(300);

/// The interval at which a test checks whether a tunnel listens.
const POLL: Duration = Duration::from_millis(50);

pub(crate) fn add(lab: &Arc<Lab>, trials: &mut Vec<Trial>) {
    let missing = I2plib::prerequisites().err();
    macro_rules! add {
        ($($name:ident),* $(,)?) => {
            $(
                let name = concat!("i2plib::", stringify!($name));
                lab.add_client(trials, name, missing.clone(), move |lab| async move {
                    match lab.i2plib().await {
                        Ok(_) => $name(lab).await,
                        Err(error) if lab.is_required() => Err(error),
                        Err(error) => {
                            let why = error.message().unwrap_or_default();
                            say(&format!("SKIP: {}: {why}", name));
                            Ok(())
                        }
                    }
                });
            )*
        };
    }
    add!(
        ping_is_answered_with_pong,
        its_tunnels_carry_data_in_both_directions,
        its_own_tests_end_as_expected,
    );
}

/// A running program.
struct Running {
    /// Killed when this value is dropped.
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn start(command: std::process::Command, sam: SocketAddr) -> Result<Self, Failed> {
        let mut child = Command::from(command)
            .env("I2P_SAM_ADDRESS", sam.to_string())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = child.stdout.take().ok_or("its output is piped")?;
        let lines = BufReader::new(stdout).lines();
        Ok(Self { child, lines })
    }

    /// Returns the next line of its output.
    async fn line(&mut self) -> Result<String, Failed> {
        let line = timeout(STEP_LIMIT, self.lines.next_line()).await??;
        Ok(line.ok_or("the program ended")?)
    }

    /// Waits until the program ends.
    async fn end(mut self) -> Outcome {
        let status = timeout(STEP_LIMIT, self.child.wait()).await??;
        same("the program ended well", status.success(), true)
    }
}

async fn ping_is_answered_with_pong(lab: Arc<Lab>) -> Outcome {
    let (i2plib, bridges) = (lab.i2plib().await?, lab.bridges().await?);
    let mut pong = Running::start(i2plib.program("pong.py"), bridges.first().tcp)?;
    let address = pong.line().await?;
    let mut ping = i2plib.program("ping.py");
    ping.arg(&address);
    let mut ping = Running::start(ping, bridges.second().tcp)?;
    let client = ping.line().await?;
    same("what came", pong.line().await?, format!("{client} PING"))?;
    same("the answer", ping.line().await?.as_str(), "PONG")?;
    ping.end().await?;
    pong.end().await
}

/// Runs `python -m i2plib.tunnel` as a server in front of an echo server, and as a client in front
/// of this test.
async fn its_tunnels_carry_data_in_both_directions(lab: Arc<Lab>) -> Outcome {
    let (i2plib, bridges) = (lab.i2plib().await?, lab.bridges().await?);
    let echo = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let echo_at = echo.local_addr()?.to_string();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = echo.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = socket.split();
                tokio::io::copy(&mut read, &mut write).await
            });
        }
    });

    let dir = tempfile::tempdir()?;
    let key = dir.path().join("server.dat");
    let b32 = new_key(i2plib, &key, bridges.first().tcp).await?;
    let mut server = i2plib.python();
    server
        .args(["-m", "i2plib.tunnel", "server", &echo_at, "--key"])
        .arg(&key);
    let _server = Running::start(server, bridges.first().tcp)?;

    let client_at = free_address().await?;
    let mut client = i2plib.python();
    client
        .args(["-m", "i2plib.tunnel", "client", &client_at.to_string()])
        .args(["--destination", &format!("{b32}.b32.i2p")]);
    let _client = Running::start(client, bridges.second().tcp)?;

    // The client tunnel listens once its session is open. The server tunnel may be ready later,
    // because its key cannot be looked up before its session is open.
    let data = noise(1, 100_000);
    let deadline = Instant::now() + STEP_LIMIT;
    let mut last: Failed = "nothing listens".into();
    while Instant::now() < deadline {
        match through(client_at, &data).await {
            Ok(true) => {
                // Another stream through the same tunnels.
                return same("the second time", through(client_at, &data).await?, true);
            }
            Ok(false) => last = "what came back differs".into(),
            Err(error) => last = error,
        }
        sleep(POLL).await;
    }
    Err(last)
}

/// Whether the data is echoed unchanged.
async fn through(at: SocketAddr, data: &[u8]) -> Result<bool, Failed> {
    let mut socket = TcpStream::connect(at).await?;
    let (mut read, mut write) = socket.split();
    let mut back = vec![0; data.len()];
    timeout(STEP_LIMIT, async {
        tokio::try_join!(write.write_all(data), read.read_exact(&mut back))
    })
    .await??;
    Ok(back == data)
}

/// Generates a key with i2plib, in a file of the form that its tunnels use. Returns its base32
/// address.
async fn new_key(
    i2plib: &I2plib,
    path: &std::path::Path,
    sam: SocketAddr,
) -> Result<String, Failed> {
    const PROGRAM: &str = "\
import asyncio, i2plib, sys
made = i2plib.new_destination(sam_address=i2plib.get_sam_address())
destination = asyncio.run(made)
open(sys.argv[1], 'wb').write(destination.private_key.data)
print(destination.base32)
";
    let mut command = i2plib.python();
    command.args(["-c", PROGRAM]).arg(path);
    let mut running = Running::start(command, sam)?;
    let b32 = running.line().await?;
    running.end().await?;
    Ok(b32)
}

async fn free_address() -> Result<SocketAddr, Failed> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    Ok(listener.local_addr()?)
}

/// The expected failures of i2plib's own tests, and their reasons.
///
/// * `test_unknown_dest` expects INVALID_KEY for an unknown address, which is i2pd's answer. The
///   specification, Java I2P and our bridge answer KEY_NOT_FOUND.
/// * `test_ping_pong_tunnel` has a client with a DSA key, for which emissary opens no session.
const EXPECTED: [(&str, &str); 2] = [
    (
        "ERROR: test_ping_pong_tunnel ",
        "i2plib.exceptions.I2PError",
    ),
    ("ERROR: test_unknown_dest ", "i2plib.exceptions.KeyNotFound"),
];

/// i2plib's own tests, which use a real bridge with `REAL_SAM`.
async fn its_own_tests_end_as_expected(lab: Arc<Lab>) -> Outcome {
    let (i2plib, bridges) = (lab.i2plib().await?, lab.bridges().await?);
    let mut command = i2plib.python();
    // The tests of addresses are excluded, because they need a key file that the package does not
    // contain.
    command.args(["-m", "unittest", "discover", "-v", "-s", "test"]);
    command.args(["-p", "test_[fsu]*.py"]);
    let output = Command::from(command)
        .env("I2P_SAM_ADDRESS", bridges.first().tcp.to_string())
        .env("REAL_SAM", "1")
        .kill_on_drop(true)
        .output();
    let output = timeout(SUITE_LIMIT, output).await??;
    let report = String::from_utf8_lossy(&output.stderr).into_owned();
    // The name of a test, and later its error, are each at the beginning of a line.
    let ends: Vec<&str> = report
        .lines()
        .filter(|line| {
            ["ERROR: ", "FAIL: ", "i2plib.exceptions."]
                .iter()
                .any(|start| line.starts_with(start))
        })
        .collect();
    let expected = EXPECTED.iter().flat_map(|(test, error)| [*test, *error]);
    let as_expected = ends.len() == 2 * EXPECTED.len()
        && ends
            .iter()
            .zip(expected)
            .all(|(end, expected)| end.starts_with(expected))
        && report.contains("\nRan 13 tests in ");
    if as_expected {
        return Ok(());
    }
    Err(report.into())
}
