//! The status of routers and sessions: their stage, the time when they reached it, and problems.
//!
//! A router and a session each have stages ([`RouterStage`](crate::RouterStage) and the session
//! stages of the crate `eepkit`). Both report them as a [`Status`], which a [`StatusWatch`]
//! follows. Stages are derived from observed events and counters, never from elapsed time.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    hash::Hash,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_core::Stream;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

/// The stages of a router or a session, which starts, becomes ready, and ends.
///
/// The order of the values is the order in which the stages are usually reached. Stages after
/// [`Stage::READY`] are interruptions and final stages.
pub trait Stage: Copy + Ord + Hash + fmt::Debug + fmt::Display + Send + Sync + 'static {
    /// The reason for an interruption, or for not becoming ready.
    type Problem: Clone + std::error::Error + Send + Sync + 'static;

    /// Counters that accompany the stage.
    type Activity: Clone + Default + PartialEq + fmt::Debug + Send + Sync + 'static;

    /// The first stage.
    const START: Self;

    /// The stage of full operation.
    const READY: Self;

    /// The noun for messages: `router` or `session`.
    const SUBJECT: &'static str;

    /// The name of the stage in lower case with underscores, for machine-readable output.
    fn as_str(self) -> &'static str;

    /// Whether the stage is final: no other stage follows unless the router or session is
    /// restarted.
    fn is_final(self) -> bool;

    /// Writes the counters for a progress line, with a leading space if there is anything to write.
    ///
    /// # Errors
    ///
    /// Those of the formatter.
    fn write_activity(activity: &Self::Activity, f: &mut fmt::Formatter<'_>) -> fmt::Result;

    /// What a router or session at this stage waits for, as a noun phrase: `a first connection to
    /// another router`. `None` at [`Stage::READY`], at final stages, and where nothing is known.
    fn waits_for(self, activity: &Self::Activity) -> Option<String>;
}

/// The status of a router or a session at one moment.
///
/// [`Display`](fmt::Display) writes one line: the stage, then the problem or the counters.
#[derive(Debug, Clone)]
pub struct Status<S: Stage> {
    stage: S,
    started: Instant,
    since: Instant,
    history: VecDeque<Step<S>>,
    first: Vec<Step<S>>,
    attempt: u32,
    retry_in: Option<Duration>,
    problem: Option<S::Problem>,
    activity: S::Activity,
}

/// A stage that was reached, and the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Step<S> {
    /// The stage.
    pub stage: S,
    /// The time from the start until the stage was reached.
    pub after: Duration,
}

impl<S: Stage> Status<S> {
    fn new(now: Instant) -> Self {
        let mut status = Self {
            stage: S::START,
            started: now,
            since: now,
            history: VecDeque::new(),
            first: Vec::new(),
            attempt: 1,
            retry_in: None,
            problem: None,
            activity: S::Activity::default(),
        };
        status.record(S::START, now);
        status
    }

    /// The current stage.
    pub const fn stage(&self) -> S {
        self.stage
    }

    /// Whether the stage is [`Stage::READY`].
    pub fn is_ready(&self) -> bool {
        self.stage == S::READY
    }

    /// The time at which the current stage was reached.
    pub const fn since(&self) -> Instant {
        self.since
    }

    /// The time from the start until the current stage was reached.
    pub fn reached_after(&self) -> Duration {
        self.since.saturating_duration_since(self.started)
    }

    /// The time from the start until `stage` was reached for the first time; `None` if it was never
    /// reached.
    pub fn time_of(&self, stage: S) -> Option<Duration> {
        let step = self.first.iter().find(|step| step.stage == stage)?;
        Some(step.after)
    }

    /// The most recent 32 stages since the start, the oldest first. The list includes short stages
    /// that a [`StatusWatch`] did not return.
    pub fn history(&self) -> impl DoubleEndedIterator<Item = Step<S>> + '_ {
        self.history.iter().copied()
    }

    /// The number of the current attempt to become ready. It starts at 1, and is reset to 1 each
    /// time readiness is reached.
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The time from [`Status::since`] until the next attempt begins; `None` if no attempt is
    /// scheduled.
    pub const fn retry_in(&self) -> Option<Duration> {
        self.retry_in
    }

    /// The problem that last prevented or interrupted readiness; `None` after readiness was reached
    /// again.
    pub const fn problem(&self) -> Option<&S::Problem> {
        self.problem.as_ref()
    }

    /// The counters.
    pub const fn activity(&self) -> &S::Activity {
        &self.activity
    }

    /// The time since the start.
    pub fn age(&self) -> Duration {
        Instant::now().saturating_duration_since(self.started)
    }

    /// The time since the current stage was reached.
    pub fn elapsed(&self) -> Duration {
        Instant::now().saturating_duration_since(self.since)
    }

    /// What readiness waits for, as a noun phrase. `None` if the status is ready or final, or if
    /// nothing is known.
    pub fn waiting_for(&self) -> Option<String> {
        if self.is_ready() || self.stage.is_final() {
            return None;
        }
        match self.retry_in {
            Some(pause) => {
                let left = pause.saturating_sub(self.elapsed());
                Some(format!("the next attempt, in {}", brief(left)))
            }
            None => self.stage.waits_for(&self.activity),
        }
    }

    /// The status in one line, for the message of a time-out: the stage, the time since it was
    /// reached, the problem or the counters, and what it waits for.
    pub fn account(&self) -> String {
        let mut text = format!("{} for {}", self.stage, brief(self.elapsed()));
        if let Some(problem) = &self.problem {
            text.push_str(": ");
            text.push_str(&problem.to_string());
        } else {
            let activity = Counters::<S>(&self.activity);
            text.push_str(&activity.to_string());
        }
        if let Some(what) = self.waiting_for() {
            text.push_str(", waiting for ");
            text.push_str(&what);
        }
        text
    }

    fn enter(&mut self, stage: S, now: Instant) -> bool {
        let moved = self.stage != stage;
        if moved {
            self.record(stage, now);
        }
        self.retry_in = None;
        if stage == S::READY {
            self.attempt = 1;
            self.problem = None;
        }
        moved
    }

    fn record(&mut self, stage: S, now: Instant) {
        self.stage = stage;
        self.since = now;
        let after = self.reached_after();
        let step = Step { stage, after };
        if self.history.len() == MAX_HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(step);
        if self.time_of(stage).is_none() {
            self.first.push(step);
        }
    }
}

impl<S: Stage> fmt::Display for Status<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.stage)?;
        match &self.problem {
            Some(problem) => write!(f, ": {problem}"),
            None => S::write_activity(&self.activity, f),
        }
    }
}

struct Counters<'a, S: Stage>(&'a S::Activity);

impl<S: Stage> fmt::Display for Counters<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        S::write_activity(self.0, f)
    }
}

/// A duration rounded for messages: milliseconds below a second, tenths of a second below a minute,
/// else seconds.
fn brief(time: Duration) -> String {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let unit = match millis {
        0..1_000 => 1,
        1_000..60_000 => 100,
        _ => 1_000,
    };
    format!("{:?}", Duration::from_millis(millis / unit * unit))
}

/// A handle that follows the status of one router or session. It is cheap to clone, and does not
/// keep the router or session running.
#[derive(Debug, Clone)]
pub struct StatusWatch<S: Stage> {
    statuses: watch::Receiver<Status<S>>,
}

impl<S: Stage> StatusWatch<S> {
    /// The current status.
    pub fn current(&self) -> Status<S> {
        self.statuses.borrow().clone()
    }

    /// The current stage.
    pub fn stage(&self) -> S {
        self.statuses.borrow().stage
    }

    /// Why the status is not ready now. `None` if it is ready.
    pub fn error(&self) -> Option<NotReady<S>> {
        let status = self.current();
        (!status.is_ready()).then(|| NotReady {
            waited: status.age(),
            status: Box::new(status),
        })
    }

    /// Waits until the status differs from the one that this handle returned last, and returns it.
    /// Returns `None` if no further change is possible.
    ///
    /// Only the newest status is kept. [`Status::history`] lists the stages between two calls.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a change that was not returned is returned by the next call.
    pub async fn changed(&mut self) -> Option<Status<S>> {
        self.statuses.changed().await.ok()?;
        Some(self.statuses.borrow_and_update().clone())
    }

    /// Waits until the status is ready, for at most `limit`. Interruptions that are retried do not
    /// end the wait.
    ///
    /// # Errors
    ///
    /// [`NotReady`] with the last status if it reached a final stage or `limit` passed.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub fn ready(
        &self,
        limit: Duration,
    ) -> impl Future<Output = Result<Status<S>, NotReady<S>>> + Send + use<S> {
        let reached = self.reached(S::READY, limit);
        async move {
            let status = reached.await;
            if status.is_ready() {
                return Ok(status);
            }
            Err(NotReady {
                waited: limit,
                status: Box::new(status),
            })
        }
    }

    /// Waits until the stage is `stage`, a stage between it and [`Stage::READY`], or a final stage,
    /// for at most `limit`. Returns the status at the end of the wait.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub fn reached(
        &self,
        stage: S,
        limit: Duration,
    ) -> impl Future<Output = Status<S>> + Send + use<S> {
        let mut statuses = self.statuses.clone();
        async move {
            let there = |status: &Status<S>| {
                let at = status.stage;
                at == stage || at.is_final() || (at > stage && at <= S::READY)
            };
            if let Ok(Ok(status)) = timeout(limit, statuses.wait_for(there)).await {
                return status.clone();
            }
            // The reporter was dropped, or the limit passed. The last status contains the reason.
            statuses.borrow().clone()
        }
    }

    /// Converts the handle into a stream of the current status and each change. The stream ends
    /// when no further change is possible.
    pub fn into_stream(self) -> StatusStream<S> {
        StatusStream {
            next: Next::Current(self),
        }
    }
}

/// A stream of the statuses of a router or session; see [`StatusWatch::into_stream`].
pub struct StatusStream<S: Stage> {
    next: Next<S>,
}

enum Next<S: Stage> {
    Current(StatusWatch<S>),
    Changed(Changed<S>),
    End,
}

type Changed<S> = Pin<Box<dyn Future<Output = (Option<Status<S>>, StatusWatch<S>)> + Send>>;

impl<S: Stage> Stream for StatusStream<S> {
    type Item = Status<S>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Status<S>>> {
        let (status, watch) = match &mut self.next {
            Next::End => return Poll::Ready(None),
            Next::Current(watch) => {
                let status = watch.statuses.borrow_and_update().clone();
                (Some(status), watch.clone())
            }
            Next::Changed(changed) => std::task::ready!(changed.as_mut().poll(cx)),
        };
        self.next = match status {
            None => Next::End,
            Some(_) => Next::Changed(Box::pin(next_change(watch))),
        };
        Poll::Ready(status)
    }
}

async fn next_change<S: Stage>(mut watch: StatusWatch<S>) -> (Option<Status<S>>, StatusWatch<S>) {
    (watch.changed().await, watch)
}

impl<S: Stage> fmt::Debug for StatusStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatusStream").finish_non_exhaustive()
    }
}

/// The error of [`StatusWatch::ready`]: the status reached a final stage, or the time limit passed.
#[derive(Debug, Clone, thiserror::Error)]
pub struct NotReady<S: Stage> {
    waited: Duration,
    status: Box<Status<S>>,
}

impl<S: Stage> NotReady<S> {
    /// The time limit of the wait.
    pub const fn waited(&self) -> Duration {
        self.waited
    }

    /// The status when the wait ended.
    pub const fn status(&self) -> &Status<S> {
        &self.status
    }

    /// Whether the time limit passed, as opposed to a final stage.
    pub fn is_timeout(&self) -> bool {
        !self.status.stage.is_final()
    }

    /// The same error with another time limit, for a wait that was part of a longer wait.
    #[must_use]
    pub fn waited_for(self, limit: Duration) -> Self {
        Self {
            waited: limit,
            ..self
        }
    }
}

impl<S: Stage> fmt::Display for NotReady<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (subject, status) = (S::SUBJECT, &self.status);
        if self.is_timeout() {
            let (waited, status) = (brief(self.waited), status.account());
            return write!(f, "the {subject} is not ready after {waited}: {status}");
        }
        write!(f, "the {subject} {}", status.stage)?;
        match &status.problem {
            Some(problem) => write!(f, ": {problem}"),
            None => Ok(()),
        }
    }
}

/// The reporting side of a [`StatusWatch`].
#[derive(Debug)]
pub struct Reporter<S: Stage> {
    statuses: watch::Sender<Status<S>>,
}

impl<S: Stage> Default for Reporter<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: Stage> Reporter<S> {
    /// Creates a reporter whose status is [`Stage::START`], reached now.
    pub fn new() -> Self {
        Self {
            statuses: watch::Sender::new(Status::new(Instant::now())),
        }
    }

    /// A handle that follows the status.
    pub fn watch(&self) -> StatusWatch<S> {
        StatusWatch {
            statuses: self.statuses.subscribe(),
        }
    }

    /// The current stage.
    pub fn stage(&self) -> S {
        self.statuses.borrow().stage
    }

    /// Enters `stage`. Entering [`Stage::READY`] clears the problem and the count of attempts.
    pub fn enter(&self, stage: S) {
        self.statuses
            .send_if_modified(|status| status.enter(stage, Instant::now()));
    }

    /// Enters `stage` because of `problem`. `retry_in` is the time until the next attempt, or
    /// `None` if there is none.
    pub fn interrupt(&self, stage: S, problem: S::Problem, retry_in: Option<Duration>) {
        self.statuses.send_modify(|status| {
            status.enter(stage, Instant::now());
            status.problem = Some(problem);
            status.retry_in = retry_in;
        });
    }

    /// Begins the next attempt at `stage`.
    pub fn retry(&self, stage: S) {
        self.statuses.send_modify(|status| {
            status.enter(stage, Instant::now());
            status.attempt = status.attempt.saturating_add(1);
        });
    }

    /// Resets the status, including history, times, counters and problem, to that of a new start.
    pub fn restart(&self) {
        self.statuses
            .send_modify(|status| *status = Status::new(Instant::now()));
    }

    /// Changes the counters, and keeps the stage.
    pub fn update(&self, change: impl FnOnce(&mut S::Activity)) {
        self.statuses.send_if_modified(|status| {
            let before = status.activity.clone();
            change(&mut status.activity);
            status.activity != before
        });
    }

    /// Updates the counters, and enters `stage`, which they determine, unless the current stage is
    /// final.
    pub fn count(&self, activity: S::Activity, stage: S) {
        self.statuses.send_if_modified(|status| {
            let counted = status.activity != activity;
            status.activity = activity;
            let moved = !status.stage.is_final() && status.enter(stage, Instant::now());
            counted || moved
        });
    }
}

/// The largest number of stages in a history. Chosen so that the history covers several
/// interruptions and fits on a screen.
const MAX_HISTORY: usize = 32;
