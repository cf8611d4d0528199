//! `eepkit doctor`: goes through the stages of getting online, and names the first that fails.

use std::time::{Duration, SystemTime};

use eepkit::{
    ErrorKind, OpenError, Router, RouterIdentity, Session, SessionStage, SessionStatus,
    Verification, clock,
};
use serde::Serialize;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{Instant, timeout},
};

use super::{online, router_clock};
use crate::{
    args::{DoctorArgs, RouterArgs},
    exit::Exit,
    failure::Failure,
    stop::Stop,
    ui::{BAD, Channel, FAINT, Ui},
};

pub(super) async fn run(args: DoctorArgs, ui: &Ui) -> Result<(), Failure> {
    let mut stop = Stop::new()?;
    let mut doctor = Doctor {
        ui: ui.with_steps_on(Channel::Out),
        json: args.json,
        failed: None,
        router: None,
    };
    let result = stop.or(doctor.examine(&args)).await;
    if let Some(router) = doctor.router.take() {
        tokio::select! {
            () = router.shutdown() => {}
            _ = stop.received() => {}
        }
    }
    doctor.conclude(result)
}

/// The JSON objects that `--json` prints, one per line.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line<'a> {
    Stage {
        version: u32,
        stage: &'a str,
        ok: bool,
        ms: u64,
        detail: &'a str,
    },
    Result {
        version: u32,
        ok: bool,
        failed_stage: Option<&'a str>,
        error: Option<String>,
        hints: &'a [String],
    },
}

struct Doctor {
    ui: Ui,
    json: bool,
    /// The stage that failed.
    failed: Option<&'static str>,
    router: Option<Router>,
}

impl Doctor {
    async fn examine(&mut self, args: &DoctorArgs) -> Result<(), Failure> {
        let limit = args.timeout.0;
        self.report("clock", Instant::now(), own_clock())?;
        let router = match args.router.is_embedded() {
            true => self.start_router(&args.router, limit).await?,
            false => self.contact_router(&args.router).await?,
        };
        let session = self.put_online(&router, args, limit).await?;
        self.stage(
            "look-up",
            "looking up the lease set in the network",
            async { look_up(&session, limit).await },
        )
        .await?;
        self.stage(
            "stream",
            "opening a stream from a second destination",
            async {
                let result = timeout(limit * 2, stream(&router, &session, args, limit)).await;
                result.unwrap_or_else(|_| {
                    Err(Failure::new(Exit::TimedOut, "the stream took too long"))
                })
            },
        )
        .await?;
        Ok(())
    }

    /// Starts a router in this process.
    async fn start_router(
        &mut self,
        args: &RouterArgs,
        limit: Duration,
    ) -> Result<Router, Failure> {
        let limit = args
            .start_timeout
            .map_or_else(|| limit.max(RouterArgs::EMBEDDED_LIMIT), |limit| limit.0);
        let mut step = self.ui.step("starting a router in this process");
        let began = Instant::now();
        let started = online::start_embedded(args, None, limit, &mut step, |_| {}).await;
        drop(step);
        let result = started.map(|router| {
            let text = router
                .watch()
                .map_or_else(String::new, |watch| watch.current().to_string());
            (router, text)
        });
        let router = self.report("router", began, result)?;
        self.router = Some(router.clone());
        Ok(router)
    }

    /// Contacts a router in another process.
    async fn contact_router(&mut self, args: &RouterArgs) -> Result<Router, Failure> {
        let attached = online::attach(args).map(|router| {
            let name = router.name();
            (router, name)
        });
        let router = self.report("address", Instant::now(), attached)?;
        self.router = Some(router.clone());
        let name = router.name();
        let began = Instant::now();
        let step = self.ui.step(format!("connecting to {name}"));
        let answer = router.probe(PROBE_LIMIT).await;
        drop(step);
        if let Err(error) = &answer
            && error.kind() == ErrorKind::RouterUnreachable
        {
            let failure = online::no_session(error, &name, args.router.is_none());
            return self.report("connection", began, Err(failure));
        }
        self.report(
            "connection",
            began,
            Ok(((), "a program listens there".to_owned())),
        )?;
        let answer = match answer {
            Ok(identity) => Ok(identity.unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::Timeout => Err(Failure::new(
                Exit::NoRouter,
                format!("the program at {name} sends no answer within {PROBE_LIMIT:?}"),
            )
            .hint("it hangs, or it is not a router: restart it, and see which port is for I2CP or SAM")),
            Err(error) => Err(online::no_session(&error, &name, args.router.is_none())),
        };
        let identity = self.report(
            "protocol",
            began,
            answer.map(|identity| {
                let text = identity.to_string();
                (identity, text)
            }),
        )?;
        self.report("router clock", Instant::now(), router_clock(&identity))?;
        Ok(router)
    }

    /// Opens a session, and reports each of its stages.
    async fn put_online(
        &mut self,
        router: &Router,
        args: &DoctorArgs,
        limit: Duration,
    ) -> Result<Session, Failure> {
        let name = router.name();
        let began = Instant::now();
        let builder = online::configure(router.session(), &args.session, None);
        let session = builder
            .nickname("eepkit doctor")
            .open_timeout(limit)
            .start()
            .map_err(|error| online::no_session(&error, &name, false));
        let session = match session {
            Ok(session) => session,
            Err(failure) => return self.report("session", began, Err(failure)),
        };
        for (stage, reached, what, detail) in [
            (
                "session",
                SessionStage::BuildingTunnels,
                "opening a session",
                "the router accepted a session",
            ),
            (
                "tunnels",
                SessionStage::LeaseSetSent,
                "waiting for tunnels",
                "the router built tunnels for it",
            ),
            (
                "lease set",
                SessionStage::Ready,
                "waiting for the lease set",
                "the router has its lease set",
            ),
        ] {
            let began = Instant::now();
            let step = self.ui.step(what);
            let status = first_outcome(&session, reached, limit).await;
            drop(step);
            let at = status.stage();
            let result = match at >= reached && at <= SessionStage::Ready {
                true => Ok(((), detail.to_owned())),
                false => Err(not_reached(&session, &status, limit, &name)),
            };
            self.report(stage, began, result)?;
        }
        Ok(session)
    }

    async fn stage<T>(
        &mut self,
        name: &'static str,
        what: &str,
        work: impl Future<Output = Result<(T, String), Failure>>,
    ) -> Result<T, Failure> {
        let began = Instant::now();
        let step = self.ui.step(what);
        let result = work.await;
        drop(step);
        self.report(name, began, result)
    }

    /// Prints the result of a stage.
    fn report<T>(
        &mut self,
        stage: &'static str,
        began: Instant,
        result: Result<(T, String), Failure>,
    ) -> Result<T, Failure> {
        let time = began.elapsed();
        let (ok, detail) = match &result {
            Ok((_, detail)) => (true, detail.clone()),
            Err(failure) => (false, failure.to_string()),
        };
        if self.json {
            self.ui.json(&Line::Stage {
                version: 1,
                stage,
                ok,
                ms: u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
                detail: &detail,
            })?;
        } else {
            let time = crate::ui::duration(time);
            let (word, style) = match ok {
                true => ("ok", crate::ui::GOOD),
                false => ("failed", BAD),
            };
            self.ui.data(format_args!(
                "{style}{word:<6}{style:#} {FAINT}{time:>8}{FAINT:#}  {stage}: {detail}"
            ))?;
        }
        match result {
            Ok((value, _)) => Ok(value),
            Err(failure) => {
                self.failed = Some(stage);
                Err(failure)
            }
        }
    }

    fn conclude(&self, result: Result<(), Failure>) -> Result<(), Failure> {
        if self.json {
            let failure = result.as_ref().err();
            self.ui.json(&Line::Result {
                version: 1,
                ok: failure.is_none(),
                failed_stage: self.failed,
                error: failure.map(ToString::to_string),
                hints: failure.map_or(&[], Failure::hints),
            })?;
        } else if result.is_ok() {
            self.ui.data("I2P works here")?;
        }
        let Err(failure) = result else {
            return Ok(());
        };
        Err(match self.failed {
            Some(stage) => failure.context(&format!("the stage {stage:?} failed")),
            None => failure,
        })
    }
}

/// Checks that the system's clock is plausible.
fn own_clock() -> Result<((), String), Failure> {
    let now = SystemTime::UNIX_EPOCH + clock::unix_now();
    let text = humantime::format_rfc3339_seconds(now).to_string();
    let known = SystemTime::UNIX_EPOCH + NOT_BEFORE;
    if now < known || now > known + PLAUSIBLE {
        return Err(Failure::new(
            Exit::Failed,
            format!("the clock of this machine is wrong: it says {text}"),
        )
        .hint(
            "set the clock, for example with `timedatectl set-ntp true`; I2P tolerates a minute",
        ));
    }
    Ok(((), format!("{text}, which is plausible")))
}

/// Compares the router's clock with that of this machine.
fn router_clock(identity: &RouterIdentity) -> Result<((), String), Failure> {
    let Some(ahead) = identity.clock_ahead_ms else {
        return Ok(((), "the router does not report its time".to_owned()));
    };
    let difference = router_clock::describe(ahead);
    if router_clock::is_wrong(ahead) {
        return Err(Failure::new(
            Exit::Failed,
            format!("the router's clock is {difference} the clock of this machine"),
        )
        .hint(router_clock::HINT));
    }
    Ok(((), format!("the router's clock is {difference} ours")))
}

/// Waits until the session has reached a stage, or its first attempt has failed.
async fn first_outcome(session: &Session, stage: SessionStage, limit: Duration) -> SessionStatus {
    let mut watch = session.watch();
    let lost = async {
        while watch.stage() != SessionStage::Lost {
            if watch.changed().await.is_none() {
                break;
            }
        }
    };
    tokio::select! {
        status = session.watch().reached(stage, limit) => status,
        () = lost => session.status(),
    }
}

/// Describes why a session has not reached a stage.
fn not_reached(
    session: &Session,
    status: &SessionStatus,
    limit: Duration,
    router: &str,
) -> Failure {
    if status.problem().is_none() && !status.stage().is_over() {
        let failure = Failure::new(
            Exit::TimedOut,
            format!(
                "not reached after {}: {}",
                crate::ui::duration(limit),
                status.account()
            ),
        );
        return match status.stage() {
            SessionStage::BuildingTunnels => failure
                .hint("the router has no peers, or its tunnels fail: look at its console, and at its network")
                .hint("a router that has just started needs some minutes: --timeout 5m"),
            _ => failure.hint("the router hangs, or is overloaded: look at its log, or restart it"),
        };
    }
    // The session ended or was interrupted, so this returns the reason at once.
    let error = session
        .watch()
        .error()
        .map_or(OpenError::Closed, OpenError::from);
    online::no_session(&error, router, false)
}

/// Waits until a look-up has found the session's lease set.
async fn look_up(session: &Session, limit: Duration) -> Result<((), String), Failure> {
    let mut watch = session.watch();
    let decided = async {
        loop {
            let status = watch.current();
            let verification = status.activity().verification;
            if matches!(
                verification,
                Verification::Found { .. } | Verification::Unavailable
            ) || status.stage().is_over()
                || watch.changed().await.is_none()
            {
                return verification;
            }
        }
    };
    let verification = timeout(limit, decided)
        .await
        .unwrap_or_else(|_| session.status().activity().verification);
    match verification {
        Verification::Found { .. } => Ok(((), "the router found the lease set".to_owned())),
        Verification::Unavailable => {
            Ok(((), "left out: this router cannot look up its own destinations".to_owned()))
        }
        _ => Err(Failure::new(
            Exit::NotFound,
            format!("{verification} within {}", crate::ui::duration(limit)),
        )
        .hint("the router cannot reach floodfill routers: it may be firewalled, or new; wait some minutes")),
    }
}

/// Opens a stream from another destination on the same router, and sends some bytes both ways.
async fn stream(
    router: &Router,
    session: &Session,
    args: &DoctorArgs,
    limit: Duration,
) -> Result<((), String), Failure> {
    let failed =
        |context: &str, error: eepkit::Error| Failure::from_kind(error.kind(), context, &error);
    let listener = session
        .listen(PORT)
        .map_err(|error| failed("cannot listen", error.into()))?;
    let echo = async {
        let mut stream = listener.accept().await?;
        let mut bytes = [0; HELLO.len()];
        stream.read_exact(&mut bytes).await?;
        stream.write_all(&bytes).await?;
        stream.flush().await?;
        // The stream has to stay open until the other side has read.
        std::future::pending::<()>().await;
        Ok::<(), eepkit::Error>(())
    };
    let call = async {
        let client = online::configure(router.session(), &args.session, None)
            .nickname("eepkit doctor 2")
            .verify(false)
            .open_timeout(limit)
            .connect_timeout(limit)
            .open()
            .await
            .map_err(|error| failed("no second session", error.into()))?;
        let began = Instant::now();
        let to = eepkit::Address::new(session.destination().clone()).with_port(PORT);
        let mut stream = client
            .connect(to)
            .await
            .map_err(|error| failed("no stream", error.into()))?;
        let mut bytes = [0; HELLO.len()];
        let exchange = async {
            stream.write_all(HELLO).await?;
            stream.flush().await?;
            stream.read_exact(&mut bytes).await
        };
        exchange
            .await
            .map_err(|error| failed("the stream broke", error.into()))?;
        let time = crate::ui::duration(began.elapsed());
        client.close().await;
        Ok(((), format!("opened and used in {time}")))
    };
    tokio::select! {
        result = call => result,
        ended = echo => match ended {
            Ok(()) => Err(Failure::new(Exit::Failed, "the listener ended")),
            Err(error) => Err(failed("the listener failed", error)),
        },
    }
}

/// What is sent to and fro.
const HELLO: &[u8] = b"Hello I2P!";

/// The port of the stream. Chosen arbitrarily.
const PORT: u16 = 7;

/// Chosen because a router on the same machine answers within milliseconds, and one that is
/// starting within seconds.
const PROBE_LIMIT: Duration = Duration::from_secs(10);

/// 2026-01-01, when this program did not exist yet.
const NOT_BEFORE: Duration = Duration::from_secs(1_767_225_600);

/// Twenty years. Chosen because nobody uses a program for longer.
const PLAUSIBLE: Duration = Duration::from_secs(20 * 365 * 24 * 3600);
