//! `eepkit devnet`: a private network that runs until it is interrupted.

use std::time::Duration;

use eepkit::{Devnet, DevnetRouter, Router, RouterStage};
use eepkit_services::sam::SamBridge;
use serde::Serialize;
use tokio::time::Instant;

use super::sam;
use crate::{args::DevnetArgs, exit::Exit, failure::Failure, stop::Stop, ui::Ui};

/// The JSON object that `--json` prints.
#[derive(Debug, Serialize)]
struct Network {
    version: u32,
    ready_after_ms: u128,
    routers: Vec<RouterLine>,
}

#[derive(Debug, Serialize)]
struct RouterLine {
    index: usize,
    /// In base64, the usual form of router hashes.
    id: String,
    floodfill: bool,
    i2cp: Option<String>,
    sam: Option<String>,
    sam_udp: Option<String>,
    ntcp2: String,
}

impl From<&DevnetRouter> for RouterLine {
    fn from(router: &DevnetRouter) -> Self {
        Self {
            index: router.index(),
            id: router.id().to_base64(),
            floodfill: router.is_floodfill(),
            i2cp: router.i2cp_addr().map(|address| address.to_string()),
            sam: router.sam_addr().map(|address| address.to_string()),
            sam_udp: router.sam_udp_addr().map(|address| address.to_string()),
            ntcp2: router.ntcp2_addr().to_string(),
        }
    }
}

impl RouterLine {
    /// The value for `--router`.
    fn router(&self) -> String {
        self.i2cp
            .as_ref()
            .map_or_else(|| "-".to_owned(), |address| format!("i2cp://{address}"))
    }

    fn serve_sam(&mut self, bridge: &SamBridge) {
        self.sam = bridge.tcp_addrs().first().map(ToString::to_string);
        self.sam_udp = bridge.udp_addrs().first().map(ToString::to_string);
    }
}

/// The options of a network.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) routers: u8,
    pub(super) floodfills: Option<u8>,
    pub(super) length: Option<u8>,
    /// Whether the routers offer their own SAM bridge.
    pub(super) sam: bool,
    pub(super) limit: Duration,
}

pub(super) async fn run(args: DevnetArgs, ui: &Ui) -> Result<(), Failure> {
    let mut stop = Stop::new()?;
    let with_bridges = args.sam || args.sam_base.is_some();
    let plan = Plan {
        routers: args.routers,
        floodfills: args.floodfills,
        length: args.length,
        sam: !with_bridges,
        limit: args.timeout.0,
    };
    let configs = (0..if with_bridges { args.routers } else { 0 })
        .map(|index| sam::of_devnet(index.into(), args.sam_base, args.length))
        .collect::<Result<Vec<_>, _>>()?;
    let started = Instant::now();
    let net = stop.or(start(plan, ui)).await?;
    let mut bridges = Vec::new();
    for (router, config) in net.routers().iter().zip(configs) {
        bridges.push(sam::start(Router::new(router.clone()), config).await?);
    }
    let mut lines: Vec<_> = net.routers().iter().map(RouterLine::from).collect();
    for (line, bridge) in lines.iter_mut().zip(&bridges) {
        line.serve_sam(bridge);
    }
    if args.json {
        let ready_after_ms = started.elapsed().as_millis();
        ui.json(&Network {
            version: 1,
            ready_after_ms,
            routers: lines,
        })?;
    } else {
        table(&lines, ui)?;
        explain(&lines, ui);
    }
    stop.received().await;
    let step = ui.step("stopping");
    for bridge in &bridges {
        bridge.stop().await;
    }
    net.stop().await;
    step.done("all routers stopped")
}

/// Starts a network and prints the number of ready routers until all are ready.
pub(super) async fn start(plan: Plan, ui: &Ui) -> Result<Devnet, Failure> {
    let mut builder = Devnet::builder()
        .routers(plan.routers.into())
        .sam(plan.sam)
        .without_waiting();
    if let Some(floodfills) = plan.floodfills {
        builder = builder.floodfills(floodfills.into());
    }
    if let Some(length) = plan.length {
        builder = builder.tunnel_length(length.into());
    }
    let mut step = ui.step(format!("starting {} routers", plan.routers));
    let net = builder.start().await.map_err(|error| {
        let error = eepkit::Error::from(error);
        Failure::from_kind(error.kind(), CANNOT_START, &error)
    })?;
    let follow = async {
        loop {
            let ready = net
                .routers()
                .iter()
                .filter(|router| router.watch().stage() == RouterStage::Ready)
                .count();
            step.update(format!("{ready} of {} routers ready", plan.routers));
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    tokio::select! {
        result = net.ready(plan.limit) => result.map_err(|error| {
            Failure::from_error(Exit::NoRouter, CANNOT_START, &error)
                .hint("the machine may be too slow for so many routers: start fewer, or give them more time")
        })?,
        () = follow => {}
    }
    step.done(format_args!(
        "{} routers ready, on 127.0.0.1 only",
        plan.routers
    ))?;
    Ok(net)
}

fn table(lines: &[RouterLine], ui: &Ui) -> Result<(), Failure> {
    ui.data(format_args!(
        "{:>6}  {:<9}  {:<22}  {}",
        "router", "role", "I2CP", "SAM"
    ))?;
    for line in lines {
        let role = if line.floodfill {
            "floodfill"
        } else {
            "router"
        };
        let sam = line.sam.as_deref().unwrap_or("-");
        let i2cp = line.router();
        ui.data(format_args!(
            "{:>6}  {role:<9}  {i2cp:<22}  {sam}",
            line.index
        ))?;
    }
    Ok(())
}

fn explain(lines: &[RouterLine], ui: &Ui) {
    let (Some(first), Some(second)) = (lines.first(), lines.get(1)) else {
        return;
    };
    ui.note("");
    ui.note("try it, in two other terminals:");
    ui.note(format_args!("  eepkit listen --router {}", first.router()));
    ui.note(format_args!(
        "  eepkit connect --router {} ADDRESS",
        second.router()
    ));
    ui.note("Ctrl-C stops the network");
}

/// The interval at which the number of ready routers is updated during the start. Chosen as the
/// fastest that a changing line can be read.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

const CANNOT_START: &str = "cannot start the private network";
