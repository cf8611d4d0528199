//! The runtime of the process, and the way of results back to Python.
//!
//! The runtime starts with the first call that needs it. It does not survive a fork: threads exist
//! only in the parent, and locks that they hold stay locked in the child for ever. Therefore every
//! access first compares process identifiers, and raises in a child. What a child has inherited is
//! never dropped.

use std::{
    io, process,
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use eepkit::ErrorKind;
use futures_util::future::join_all;
use pyo3::{exceptions::PyRuntimeError, prelude::*};
use tokio::{
    runtime::{Builder, Handle},
    sync::watch,
    task::AbortHandle,
    time::{sleep, timeout},
};

use crate::{failure::Failure, router::Router};

/// The runtime of this process.
pub(crate) struct Runtime {
    handle: Handle,
    process: u32,
    completions: Sender<Completion>,
    parts: Mutex<Option<Parts>>,
    stopped: AtomicBool,
}

/// What stopping ends.
struct Parts {
    tokio: tokio::runtime::Runtime,
    /// Calls the callables.
    caller: JoinHandle<()>,
}

enum Completion {
    Call(Box<dyn FnOnce(Python<'_>) + Send>),
    End,
}

static RUNTIME: OnceLock<Runtime> = OnceLock::new();

impl Runtime {
    /// The runtime, which is started if needed.
    pub(crate) fn of_process() -> PyResult<&'static Self> {
        static STARTING: Mutex<()> = Mutex::new(());
        if RUNTIME.get().is_none() {
            let _one = lock(&STARTING);
            if RUNTIME.get().is_none() {
                let started = Self::start().map_err(Failure::io)?;
                // Only the owner of the lock sets it.
                let _ = RUNTIME.set(started);
            }
        }
        let Some(runtime) = RUNTIME.get() else {
            return Err(PyRuntimeError::new_err(
                "the runtime of eepkit did not start",
            ));
        };
        if runtime.process != process::id() {
            return Err(forked());
        }
        if runtime.stopped.load(Ordering::Acquire) {
            let text = "the interpreter is exiting, so eepkit was stopped";
            return Err(Failure::new(ErrorKind::Closed, text).into());
        }
        Ok(runtime)
    }

    fn start() -> io::Result<Self> {
        let tokio = Builder::new_multi_thread()
            .thread_name("eepkit")
            .enable_all()
            .build()?;
        let (completions, queue) = mpsc::channel();
        let caller = thread::Builder::new()
            .name("eepkit-python".to_owned())
            .spawn(move || call(&queue))?;
        Ok(Self {
            handle: tokio.handle().clone(),
            process: process::id(),
            completions,
            parts: Mutex::new(Some(Parts { tokio, caller })),
            stopped: AtomicBool::new(false),
        })
    }

    /// Enters the context of the runtime, for calls that start tasks.
    pub(crate) fn enter(&self) -> tokio::runtime::EnterGuard<'_> {
        self.handle.enter()
    }

    /// Runs `work`, and calls `done` with a result and an exception, of which one is `None`. `done`
    /// is not called if the operation is cancelled.
    pub(crate) fn spawn<T>(
        &'static self,
        done: Py<PyAny>,
        work: impl Future<Output = Result<T, Failure>> + Send + 'static,
        convert: impl FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
    ) -> Operation
    where
        T: Send + 'static,
    {
        let task = self.handle.spawn(async move {
            let result = work.await;
            self.complete(move |py| {
                let result = match result {
                    Ok(value) => convert(py, value),
                    Err(failure) => Err(failure.to_exception(py)),
                };
                let called = match result {
                    Ok(value) => done.call1(py, (value, py.None())),
                    Err(error) => done.call1(py, (py.None(), error)),
                };
                if let Err(error) = called {
                    error.write_unraisable(py, Some(done.bind(py)));
                }
            });
        });
        Operation {
            task: Owned::new(task.abort_handle()),
        }
    }

    fn complete(&self, call: impl FnOnce(Python<'_>) + Send + 'static) {
        // Fails only after the runtime was stopped.
        let _ = self.completions.send(Completion::Call(Box::new(call)));
    }
}

/// Calls what is in the queue, until the end. Attaches once for everything that is there.
fn call(queue: &Receiver<Completion>) {
    while let Ok(Completion::Call(first)) = queue.recv() {
        let attached = Python::try_attach(|py| {
            first(py);
            loop {
                match queue.try_recv() {
                    Ok(Completion::Call(next)) => next(py),
                    Ok(Completion::End) => return false,
                    Err(_) => return true,
                }
            }
        });
        if attached != Some(true) {
            return;
        }
    }
}

/// Stops the runtime at the exit of the interpreter: shuts `routers` down for at most `seconds`, and
/// ends everything that still runs. Every later call raises. Does nothing in a forked child.
#[pyfunction]
pub(crate) fn stop(py: Python<'_>, routers: Vec<Py<Router>>, seconds: f64) -> PyResult<()> {
    let Some(runtime) = RUNTIME.get() else {
        return Ok(());
    };
    if runtime.process != process::id() || runtime.stopped.swap(true, Ordering::AcqRel) {
        return Ok(());
    }
    let Some(Parts { tokio, caller }) = lock(&runtime.parts).take() else {
        return Ok(());
    };
    let limit = seconds_to_duration(seconds)?;
    let routers: Vec<eepkit::Router> = routers
        .iter()
        .filter_map(|router| router.get().inner().ok())
        .collect();
    py.detach(|| {
        let shutdowns = routers.iter().map(eepkit::Router::shutdown);
        let _ = tokio.block_on(async { timeout(limit, join_all(shutdowns)).await });
        // Fails if the thread has ended.
        let _ = runtime.completions.send(Completion::End);
        let called = async {
            while !caller.is_finished() {
                sleep(Duration::from_millis(1)).await;
            }
        };
        let _ = tokio.block_on(async { timeout(LAST_CALLS, called).await });
        tokio.shutdown_background();
    });
    Ok(())
}

/// The time that callables have at the exit. Chosen because they only wake up event loops.
const LAST_CALLS: Duration = Duration::from_millis(200);

/// A running operation.
#[pyclass(frozen, module = "eepkit._native")]
pub(crate) struct Operation {
    task: Owned<AbortHandle>,
}

#[pymethods]
impl Operation {
    /// Cancels the operation. Its callable is not called, unless the call has begun.
    fn cancel(&self) -> PyResult<()> {
        self.task.get()?.abort();
        Ok(())
    }
}

/// A value of the process in which it was made. In a forked child it cannot be used, and it is never
/// dropped.
pub(crate) struct Owned<T> {
    value: Option<T>,
    process: u32,
}

impl<T> Owned<T> {
    pub(crate) fn new(value: T) -> Self {
        Self {
            value: Some(value),
            process: process::id(),
        }
    }

    /// The value, or the exception for children.
    pub(crate) fn get(&self) -> PyResult<&T> {
        match &self.value {
            Some(value) if self.process == process::id() => Ok(value),
            _ => Err(forked()),
        }
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        let value = self.value.take();
        if self.process != process::id() {
            std::mem::forget(value);
            return;
        }
        // Sessions and routers start tasks when they are dropped.
        let _context = RUNTIME.get().map(|runtime| runtime.handle.enter());
        drop(value);
    }
}

/// A value that Python closes explicitly, while operations may still use it.
pub(crate) struct Closable<T> {
    value: Mutex<Option<Owned<T>>>,
    closed: watch::Sender<bool>,
    process: u32,
}

impl<T: Clone> Closable<T> {
    pub(crate) fn new(value: T) -> Self {
        Self {
            value: Mutex::new(Some(Owned::new(value))),
            closed: watch::Sender::new(false),
            process: process::id(),
        }
    }

    /// The value, and a future that ends when it is closed. `None` if it was closed.
    pub(crate) fn get(&self) -> PyResult<Option<(T, impl Future<Output = ()> + Send + use<T>)>> {
        // Before the lock, which a thread of the parent may have held.
        if self.process != process::id() {
            return Err(forked());
        }
        let value = match &*lock(&self.value) {
            Some(value) => value.get()?.clone(),
            None => return Ok(None),
        };
        let mut closed = self.closed.subscribe();
        let closing = async move {
            // Fails if the owner was dropped, which closes it too.
            let _ = closed.wait_for(|closed| *closed).await;
        };
        Ok(Some((value, closing)))
    }

    pub(crate) fn close(&self) {
        if self.process == process::id() {
            self.closed.send_replace(true);
            let value = lock(&self.value).take();
            drop(value);
        }
    }
}

/// A lock of state that stays valid if a thread panics with it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn forked() -> PyErr {
    PyRuntimeError::new_err(
        "eepkit was started before this process was forked, and does not run in the child. \
         Fork first, or use the start method \"spawn\" of multiprocessing",
    )
}

pub(crate) fn seconds_to_duration(seconds: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(seconds).map_err(|_| {
        let text =
            format!("{seconds} is not a number of seconds: it must be finite and not negative");
        Failure::bad_input(text).into()
    })
}

pub(crate) fn optional_seconds(seconds: Option<f64>) -> PyResult<Option<Duration>> {
    seconds.map(seconds_to_duration).transpose()
}

/// Converts an object of a class of this module.
pub(crate) fn object<T>(py: Python<'_>, value: T) -> PyResult<Py<PyAny>>
where
    T: Into<PyClassInitializer<T>> + pyo3::PyClass,
{
    Ok(Py::new(py, value)?.into_any())
}

/// Converts no result.
pub(crate) fn nothing(py: Python<'_>, (): ()) -> PyResult<Py<PyAny>> {
    Ok(py.None())
}
