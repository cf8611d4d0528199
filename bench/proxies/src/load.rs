//! Programs that send requests.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use eepkit_bench_common::{Failed, Outcome, say};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::{
    sync::Barrier,
    task::JoinSet,
    time::{Instant, timeout},
};

use crate::route::Route;

/// What each program does.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) route: Route,
    pub(crate) host: String,
    pub(crate) path: &'static str,
    /// The size of a response.
    pub(crate) response: u32,
    /// Whether a connection is used again.
    pub(crate) keep_alive: bool,
}

/// The requests of all programs.
#[derive(Default)]
pub(crate) struct Requests {
    /// The latencies of those that succeeded, in ascending order.
    latencies: Vec<Duration>,
    /// The number of those that succeeded before the time of the run had passed.
    in_time: u32,
    pub(crate) failed: u32,
    /// Why one failed.
    why: Option<String>,
    /// The time of the run, or until the last response.
    pub(crate) elapsed: Duration,
}

/// The time limit of a request.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);

impl Load {
    /// Runs this number of programs for this time.
    pub(crate) async fn run(&self, programs: u16, time: Duration) -> Requests {
        self.start(programs, Some(time)).await
    }

    /// Runs this number of programs, with one request each, at the same time.
    pub(crate) async fn burst(&self, programs: u16) -> Requests {
        self.start(programs, None).await
    }

    async fn start(&self, programs: u16, time: Option<Duration>) -> Requests {
        let barrier = Arc::new(Barrier::new(programs.into()));
        let mut running = JoinSet::new();
        for _ in 0..programs {
            let mut program = Program::new(self.clone());
            let barrier = barrier.clone();
            running.spawn(async move {
                barrier.wait().await;
                program.run(time).await
            });
        }
        let began = Instant::now();
        let mut all = Requests::default();
        while let Some(requests) = running.join_next().await {
            let requests = requests.unwrap_or_default();
            all.latencies.extend(requests.latencies);
            all.in_time += requests.in_time;
            all.failed += requests.failed;
            all.why = all.why.or(requests.why);
        }
        all.elapsed = time.unwrap_or_else(|| began.elapsed());
        all.latencies.sort_unstable();
        if let Some(why) = &all.why {
            say(&format!("{} requests failed: {why}", all.failed));
        }
        all
    }

    /// Sends one request.
    pub(crate) async fn once(&self) -> Outcome<()> {
        timeout(REQUEST_LIMIT, Program::new(self.clone()).request()).await?
    }
}

impl Requests {
    fn fail(&mut self, why: String) {
        self.failed += 1;
        self.why.get_or_insert(why);
    }

    pub(crate) fn succeeded(&self) -> usize {
        self.latencies.len()
    }

    /// The number per second.
    pub(crate) fn rate(&self) -> Outcome<f64> {
        match self.in_time {
            0 => Err("no request succeeded".into()),
            count => Ok(f64::from(count) / self.elapsed.as_secs_f64()),
        }
    }

    /// The latency in milliseconds that this share of the requests does not exceed.
    pub(crate) fn quantile(&self, share: f64) -> Outcome<f64> {
        let last = self.latencies.len().saturating_sub(1);
        let at = (share * last as f64).round() as usize;
        let latency = self.latencies.get(at).ok_or("no request succeeded")?;
        Ok(latency.as_secs_f64() * 1e3)
    }
}

/// A program that sends one request after the other.
struct Program {
    load: Load,
    connection: Option<SendRequest<Empty<Bytes>>>,
}

impl Program {
    fn new(load: Load) -> Self {
        Self {
            load,
            connection: None,
        }
    }

    /// Sends requests for this time, or one.
    async fn run(&mut self, time: Option<Duration>) -> Requests {
        let began = Instant::now();
        let mut requests = Requests::default();
        let is_over = || time.is_none_or(|time| began.elapsed() >= time);
        loop {
            let started = Instant::now();
            match timeout(REQUEST_LIMIT, self.request()).await {
                Ok(Ok(())) => {
                    requests.latencies.push(started.elapsed());
                    requests.in_time += u32::from(!is_over() || time.is_none());
                }
                Ok(Err(error)) => requests.fail(error.to_string()),
                Err(_) => requests.fail("took too long".to_owned()),
            }
            if is_over() {
                return requests;
            }
        }
    }

    async fn request(&mut self) -> Outcome<()> {
        if let Some(used) = self.connection.take().filter(|used| !used.is_closed()) {
            // A proxy may close a connection that it has announced to keep.
            if self.request_over(used).await.is_ok() {
                return Ok(());
            }
        }
        let io = self.load.route.open(&self.load.host).await?;
        let (sender, connection) = handshake(TokioIo::new(io)).await?;
        // Its errors are those of the requests.
        tokio::spawn(connection);
        self.request_over(sender).await
    }

    async fn request_over(&mut self, mut connection: SendRequest<Empty<Bytes>>) -> Outcome<()> {
        let load = &self.load;
        connection.ready().await?;
        let request = load.route.request(&load.host, load.path)?;
        let mut response = connection.send_request(request).await?;
        if !response.status().is_success() {
            let why = response.headers().get("x-eepkit-error");
            return Err(Failed::from(format!(
                "answered {} {why:?}",
                response.status()
            )));
        }
        let mut length = 0;
        while let Some(frame) = response.frame().await {
            length += frame?.data_ref().map_or(0, Bytes::len);
        }
        if length != load.response as usize {
            return Err(Failed::from(format!("a response of {length} bytes")));
        }
        if load.keep_alive {
            self.connection = Some(connection);
        }
        Ok(())
    }
}
