//! `eepkit demo`: two programs that communicate over a private network, step by step.

mod programs;

use std::time::Duration;

use eepkit::{ConnectOptions, Devnet, PingOptions, Preset, Router, Session, Stream};
use serde::Serialize;
use tokio::{io::AsyncWriteExt, time::Instant};

use self::programs::{Transfer, Watched};
use super::{
    devnet::{self, Plan},
    online,
};
use crate::{
    args::DemoArgs,
    exit::Exit,
    failure::Failure,
    stop::Stop,
    ui::{self, Channel, STRONG, Ui},
};

/// The JSON object that `--json` prints.
#[derive(Debug, Serialize)]
struct Results {
    version: u32,
    routers: u8,
    hops: u8,
    server_b32: String,
    network_ms: f64,
    server_online_ms: f64,
    client_online_ms: f64,
    connect_ms: f64,
    echo_ms: f64,
    rtt_median_ms: f64,
    to_server: Option<Transfer>,
    to_client: Option<Transfer>,
    total_ms: f64,
}

pub(super) async fn run(args: DemoArgs, ui: &Ui) -> Result<(), Failure> {
    let mut stop = Stop::new()?;
    // With --json, standard output contains only the JSON object.
    let ui = ui.with_steps_on(if args.json {
        Channel::Err
    } else {
        Channel::Out
    });
    let started = Instant::now();
    let plan = Plan {
        routers: args.routers,
        floodfills: None,
        length: Some(args.length),
        sam: false,
        limit: STEP_LIMIT,
    };
    let net = stop.or(devnet::start(plan, &ui)).await?;
    let network = started.elapsed();
    let shown = stop.or(show(&args, &net, network, started, &ui)).await;
    net.stop().await;
    let results = shown?;
    if args.json {
        ui.json(&results)
    } else {
        summary(&results, &ui)
    }
}

/// Runs the demo from the start of the network to its end.
async fn show(
    args: &DemoArgs,
    net: &Devnet,
    network: Duration,
    started: Instant,
    ui: &Ui,
) -> Result<Results, Failure> {
    let server_router = Router::new(net.router(0));
    let client_router = Router::new(net.router(1));

    let (server, server_online) = online("the server", &server_router, args.length, ui).await?;
    let destination = server.destination().clone();
    let b32 = destination.to_b32();
    if !args.json {
        ui.data("the server's destination, in base64:")?;
        ui.data(format_args!(
            "{STRONG}{}{STRONG:#}",
            destination.to_base64()
        ))?;
        ui.data("and in base32, which is the hash of it:")?;
        ui.data(format_args!("{STRONG}{b32}{STRONG:#}"))?;
    }
    let listener = server
        .listen(0)
        .map_err(|error| Failure::from_kind(error.kind(), "the server cannot listen", &error))?;
    let mut watched = Watched::serve(listener);
    let (client, client_online) = online("the client", &client_router, args.length, ui).await?;
    if !args.json {
        picture(args, ui)?;
    }

    let step = ui.step("connecting the client to the server");
    let mut stream = connect(&client, &b32, programs::ECHO_PORT).await?;
    let connected = step.elapsed();
    step.done("connected: address looked up, stream opened")?;

    let asked = Instant::now();
    let echo = within(
        STEP_LIMIT,
        "the echo",
        programs::say_hello(&mut stream, &mut watched),
    )
    .await?;
    let echoed = asked.elapsed();
    if !args.json {
        ui.data(format_args!("Received from client: {}", echo.at_server))?;
        ui.data(format_args!("Received from server: {}", echo.at_client))?;
    }
    stream
        .shutdown()
        .await
        .map_err(|error| Failure::from_error(Exit::Failed, "closing", &error))?;

    let rtt = round_trip(&client, &b32, ui).await?;
    let to_server = transfer(args, &client, &b32, Direction::ToServer, ui).await?;
    let to_client = transfer(args, &client, &b32, Direction::ToClient, ui).await?;

    let step = ui.step("taking both offline");
    tokio::join!(client.close(), server.close());
    step.done("both are offline, the network stops")?;
    Ok(Results {
        version: 1,
        routers: args.routers,
        hops: args.length,
        server_b32: b32,
        network_ms: millis(network),
        server_online_ms: millis(server_online),
        client_online_ms: millis(client_online),
        connect_ms: millis(connected),
        echo_ms: millis(echoed),
        rtt_median_ms: millis(rtt),
        to_server,
        to_client,
        total_ms: millis(started.elapsed()),
    })
}

/// Puts a new destination online.
async fn online(
    who: &str,
    router: &Router,
    length: u8,
    ui: &Ui,
) -> Result<(Session, Duration), Failure> {
    let mut step = ui.step(format!("putting {who} online"));
    let builder = router
        .session()
        .preset(Preset::Bulk)
        .tunnel_length(length)
        .tunnel_quantity(TUNNELS);
    let session = online::start(builder, STEP_LIMIT, &mut step)
        .await
        .map_err(|error| {
            Failure::from_kind(error.kind(), &format!("cannot put {who} online"), &error)
        })?;
    let took = step.elapsed();
    step.done(format_args!(
        "{who} is online: tunnels built, lease set published"
    ))?;
    Ok((session, took))
}

async fn connect(client: &Session, b32: &str, port: u16) -> Result<Stream, Failure> {
    let options = ConnectOptions::new().timeout(STEP_LIMIT);
    client
        .connect_with((b32, port), &options)
        .await
        .map_err(|error| Failure::from_kind(error.kind(), "the client cannot connect", &error))
}

async fn round_trip(client: &Session, b32: &str, ui: &Ui) -> Result<Duration, Failure> {
    let step = ui.step("measuring the round trip");
    let mut times = Vec::with_capacity(PINGS);
    let options = PingOptions::new().timeout(PING_LIMIT);
    for _ in 0..PINGS {
        // A lost ping is excluded from the measurement.
        if let Ok(rtt) = client.ping_with(b32, &options).await {
            times.push(rtt);
        }
    }
    times.sort_unstable();
    let Some(&median) = times.get(times.len() / 2) else {
        return Err(Failure::new(
            Exit::Unreachable,
            "the server answered no ping",
        ));
    };
    step.done(format_args!(
        "round trip {}, median of {} pings",
        ui::duration(median),
        times.len()
    ))?;
    Ok(median)
}

#[derive(Debug, Clone, Copy)]
enum Direction {
    ToServer,
    ToClient,
}

async fn transfer(
    args: &DemoArgs,
    client: &Session,
    b32: &str,
    direction: Direction,
    ui: &Ui,
) -> Result<Option<Transfer>, Failure> {
    if args.size == 0 {
        return Ok(None);
    }
    let bytes = u64::from(args.size) << 20;
    let label = match direction {
        Direction::ToServer => "client to server",
        Direction::ToClient => "server to client",
    };
    let step = ui.step(format!("sending {}, {label}", ui::bytes(bytes)));
    let port = match direction {
        Direction::ToServer => programs::SINK_PORT,
        Direction::ToClient => programs::SOURCE_PORT,
    };
    let mut stream = connect(client, b32, port).await?;
    let transfer = match direction {
        Direction::ToServer => {
            within(
                TRANSFER_LIMIT,
                label,
                programs::send_to_server(&mut stream, bytes),
            )
            .await?
        }
        Direction::ToClient => {
            within(
                TRANSFER_LIMIT,
                label,
                programs::receive_from_server(&mut stream, bytes),
            )
            .await?
        }
    };
    step.done(format_args!("{label}: {transfer}"))?;
    Ok(Some(transfer))
}

/// Runs a part of the demo with a time limit.
async fn within<T>(
    limit: Duration,
    what: &str,
    work: impl Future<Output = std::io::Result<T>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result.map_err(|error| Failure::from_error(Exit::Unreachable, what, &error)),
        Err(_) => Err(Failure::new(
            Exit::TimedOut,
            format!("{what} took longer than {}", ui::duration(limit)),
        )),
    }
}

/// Prints a diagram of the two programs and their tunnels.
fn picture(args: &DemoArgs, ui: &Ui) -> Result<(), Failure> {
    let tunnel = vec!["[hop]"; args.length.into()].join(" --> ");
    let inside = tunnel.len() - 2;
    ui.data("")?;
    ui.data(format_args!(
        "  client --> {tunnel} ==> {tunnel} --> server"
    ))?;
    ui.data(format_args!(
        "             `{:-^inside$}'     `{:-^inside$}'",
        "out", "in"
    ))?;
    ui.data(format_args!(
        "  out: the client's outbound tunnel; in: the server's inbound tunnel; answers take two others"
    ))?;
    ui.data(format_args!(
        "  a hop is one of the {} routers; it knows its two neighbours only",
        args.routers
    ))?;
    ui.data("")
}

fn summary(results: &Results, ui: &Ui) -> Result<(), Failure> {
    let time = |millis: f64| ui::duration(Duration::from_secs_f64(millis / 1_000.0));
    let rate = |transfer: &Option<Transfer>| match transfer {
        Some(transfer) => transfer.to_string(),
        None => "not measured".to_owned(),
    };
    let rows = [
        (
            "network ready",
            format!("{} ({} routers)", time(results.network_ms), results.routers),
        ),
        ("server online", time(results.server_online_ms)),
        ("client online", time(results.client_online_ms)),
        ("stream opened", time(results.connect_ms)),
        (
            "round trip",
            format!(
                "{} ({} hops each way)",
                time(results.rtt_median_ms),
                2 * results.hops
            ),
        ),
        ("client to server", rate(&results.to_server)),
        ("server to client", rate(&results.to_client)),
        ("the whole demo", time(results.total_ms)),
    ];
    ui.data("")?;
    for (name, value) in rows {
        ui.data(format_args!("  {name:<17} {value}"))?;
    }
    ui.note("");
    ui.note(
        "next: `eepkit devnet` keeps such a network running, for `eepkit listen` and `connect`",
    );
    Ok(())
}

fn millis(time: Duration) -> f64 {
    time.as_micros() as f64 / 1_000.0
}

/// The number of tunnels in each direction. Chosen because an emissary router spreads the messages
/// of a session over all tunnels of the peer, which would reorder them.
const TUNNELS: u8 = 1;

/// The limit of each step. Chosen because each takes a few seconds at most, and the demo should end
/// within about a minute even if one of them fails.
const STEP_LIMIT: Duration = Duration::from_secs(30);

/// The number of pings for the median. Chosen so that they take at most a second on a working
/// network.
const PINGS: usize = 15;

/// The limit of one ping. Chosen because the round trip on this network takes milliseconds.
const PING_LIMIT: Duration = Duration::from_secs(2);

/// The limit of one transfer. Chosen as the limit for sending plus time for the data in flight.
const TRANSFER_LIMIT: Duration = Duration::from_secs(20);
