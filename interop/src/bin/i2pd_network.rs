//! Starts a private network of i2pd routers on loopback for other programs: `i2pd_network [ROUTERS]`.
//!
//! Prints one line with a JSON object when sessions on every router get tunnels:
//! `{"i2pd": "2.58.0", "routers": [{"sam": "127.0.0.1:1", "sam_udp": "127.0.0.1:2", "i2cp": "127.0.0.1:3"}, ...]}`.
//! The network ends at the end of standard input, and at SIGINT and SIGTERM.

use std::{
    env,
    error::Error,
    io::{self, Write as _},
    process::Command,
    time::Duration,
};

use eepkit_interop::{I2pdNet, I2pdRouter, SamSession, i2pd_program};
use serde_json::{Value, json};
use tokio::{
    io::AsyncReadExt as _,
    runtime::Builder,
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};

/// The default number of routers: four floodfills, two for the ends of streams, and two for hops.
const ROUTERS: usize = 8;

/// The highest number of routers. Chosen because each is a process, and has an address of its own
/// in 127.18.0.0/16.
const MOST: usize = 200;

/// The time limit for the tunnels of a session. Measured: 20 to 40 s with eight routers.
const LIMIT: Duration = Duration::from_secs(180);

fn main() -> Result<(), Box<dyn Error>> {
    let count = match env::args().nth(1) {
        None => ROUTERS,
        Some(text) => text
            .parse()
            .ok()
            .filter(|count| (1..=MOST).contains(count))
            .ok_or_else(|| format!("{text:?} is not a number of routers from 1 to {MOST}"))?,
    };
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(run(count));
    // A read of standard input is pending after a signal, and must not delay the end.
    runtime.shutdown_background();
    result
}

/// Runs the network until it fails, standard input ends, or a signal arrives. It is dropped in each
/// case, which ends the routers and deletes their files.
async fn run(count: usize) -> Result<(), Box<dyn Error>> {
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let mut input = tokio::io::stdin();
    let mut ignored = Vec::new();
    tokio::select! {
        result = serve(count) => result,
        _ = input.read_to_end(&mut ignored) => Ok(()),
        _ = interrupted.recv() => Ok(()),
        _ = terminated.recv() => Ok(()),
    }
}

/// Runs the network until this is cancelled.
async fn serve(count: usize) -> Result<(), Box<dyn Error>> {
    let net = I2pdNet::start(count).await?;
    let mut sessions = JoinSet::new();
    for (index, router) in net.routers().iter().enumerate() {
        let at = router.sam();
        sessions.spawn(async move {
            SamSession::create(at, "SIGNATURE_TYPE=7", LIMIT)
                .await
                .map_err(|error| format!("router {index} has no tunnels for a session: {error}"))
        });
    }
    while let Some(session) = sessions.join_next().await {
        session??;
    }
    let routers: Vec<Value> = net.routers().iter().map(addresses).collect();
    let line = json!({"i2pd": version()?, "routers": routers});
    let mut output = io::stdout();
    writeln!(output, "{line}")?;
    output.flush()?;
    std::future::pending().await
}

fn addresses(router: &I2pdRouter) -> Value {
    json!({
        "sam": router.sam().to_string(),
        "sam_udp": router.sam_udp().to_string(),
        "i2cp": router.i2cp().to_string(),
    })
}

/// The version of i2pd, such as `2.58.0`.
fn version() -> Result<String, Box<dyn Error>> {
    let output = Command::new(i2pd_program()?).arg("--version").output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut words = text.split_whitespace();
    words
        .by_ref()
        .find(|word| *word == "version")
        .and_then(|_| words.next())
        .map(str::to_owned)
        .ok_or_else(|| format!("no version of i2pd in {text:?}").into())
}
