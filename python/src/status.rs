//! The status of routers and sessions.

use std::sync::Arc;

use eepkit::{Error, RouterStage, SessionStage};
use pyo3::prelude::*;
use tokio::sync::Mutex;

use crate::{
    failure::Failure,
    runtime::{Operation, Owned, Runtime, object, seconds_to_duration},
};

/// The status of a router or a session at one moment.
#[pyclass(frozen, get_all, module = "eepkit._native")]
pub(crate) struct Status {
    /// The stage, such as `building_tunnels`.
    stage: String,
    is_ready: bool,
    /// Whether the router or the session has ended.
    is_over: bool,
    /// What prevents the next stage.
    problem: Option<String>,
    waiting_for: Option<String>,
    /// The seconds until the next attempt.
    retry_in: Option<f64>,
    /// The number of the attempt, from 1.
    attempt: u32,
    /// The seconds from the start to the stage.
    reached_after: f64,
    /// Everything in one sentence.
    account: String,
}

#[pymethods]
impl Status {
    fn __repr__(&self) -> String {
        format!("<Status {}>", self.account)
    }

    fn __str__(&self) -> String {
        self.account.clone()
    }
}

impl<S> From<eepkit::Status<S>> for Status
where
    S: eepkit::Stage,
    S::Problem: std::fmt::Display,
{
    fn from(status: eepkit::Status<S>) -> Self {
        Self {
            stage: status.stage().as_str().to_owned(),
            is_ready: status.is_ready(),
            is_over: status.stage().is_final(),
            problem: status.problem().map(ToString::to_string),
            waiting_for: status.waiting_for(),
            retry_in: status.retry_in().map(|pause| pause.as_secs_f64()),
            attempt: status.attempt(),
            reached_after: status.reached_after().as_secs_f64(),
            account: status.account(),
        }
    }
}

/// The class of a watch, which differ in what they watch.
macro_rules! watch {
    ($(#[$about:meta])* $name:ident of $stage:ty) => {
        $(#[$about])*
        #[pyclass(frozen, module = "eepkit._native")]
        pub(crate) struct $name {
            current: Owned<eepkit::StatusWatch<$stage>>,
            next: Arc<Mutex<eepkit::StatusWatch<$stage>>>,
        }

        impl $name {
            pub(crate) fn new(watch: eepkit::StatusWatch<$stage>) -> Self {
                Self {
                    next: Arc::new(Mutex::new(watch.clone())),
                    current: Owned::new(watch),
                }
            }
        }

        #[pymethods]
        impl $name {
            fn current(&self) -> PyResult<Status> {
                Ok(self.current.get()?.current().into())
            }

            /// Waits for the next change. The result is `None` after the end.
            fn changed(&self, done: Py<PyAny>) -> PyResult<Operation> {
                let next = self.next.clone();
                let work = async move { Ok(next.lock().await.changed().await) };
                Ok(Runtime::of_process()?.spawn(done, work, |py, status| match status {
                    Some(status) => object(py, Status::from(status)),
                    None => Ok(py.None()),
                }))
            }

            /// Waits for so many seconds until it is ready.
            fn ready(&self, seconds: f64, done: Py<PyAny>) -> PyResult<Operation> {
                let ready = self.current.get()?.ready(seconds_to_duration(seconds)?);
                let work = async move { ready.await.map_err(|error| Failure::of(Error::from(error))) };
                Ok(Runtime::of_process()?
                    .spawn(done, work, |py, status| object(py, Status::from(status))))
            }
        }
    };
}

watch! {
    /// Follows the status of a session.
    SessionWatch of SessionStage
}

watch! {
    /// Follows the status of a router in this process.
    RouterWatch of RouterStage
}
