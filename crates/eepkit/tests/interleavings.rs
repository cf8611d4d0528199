//! What tasks share without a lock of the session, in every order in which their steps can happen.
//!
//! loom runs a model once for each interleaving, and for each value that the memory model allows a
//! load to return. A wake-up that is lost is a deadlock, which loom reports.

use std::{
    future::{Future as _, poll_fn},
    pin::pin,
    task::{Context, Poll, Waker},
};

use loom::{
    future::block_on,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use uses::Uses;
use waker::DriverWaker;

/// The primitives of `eepkit::sync`, by loom.
mod sync {
    use std::{
        future::poll_fn,
        sync::PoisonError,
        task::{Poll, Waker},
    };

    pub(crate) use loom::sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering, fence},
    };

    /// `tokio::sync::Notify`, for one task that waits.
    #[derive(Debug)]
    pub(crate) struct Notify(Mutex<State>);

    #[derive(Debug, Default)]
    struct State {
        permit: bool,
        waker: Option<Waker>,
    }

    impl Notify {
        pub(crate) fn new() -> Self {
            Self(Mutex::new(State::default()))
        }

        pub(crate) fn notify_one(&self) {
            let mut state = self.state();
            state.permit = true;
            let waker = state.waker.take();
            drop(state);
            if let Some(waker) = waker {
                waker.wake();
            }
        }

        pub(crate) async fn notified(&self) {
            poll_fn(|cx| {
                let mut state = self.state();
                if std::mem::take(&mut state.permit) {
                    return Poll::Ready(());
                }
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            })
            .await;
        }

        fn state(&self) -> MutexGuard<'_, State> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }
}

#[path = "../src/uses.rs"]
mod uses;
#[path = "../src/shared/waker.rs"]
mod waker;

/// The driver of a session and tasks of the application, each of which makes `changes`.
fn drive(tasks: usize, changes: usize) {
    let shared = Arc::new((DriverWaker::default(), AtomicUsize::new(0)));
    let applications: Vec<_> = (0..tasks)
        .map(|_| {
            let shared = shared.clone();
            thread::spawn(move || {
                for _ in 0..changes {
                    shared.1.fetch_add(1, Ordering::Relaxed);
                    shared.0.wake();
                }
            })
        })
        .collect();
    // As the driver of a session: registers, and then does all the work that it finds.
    block_on(poll_fn(|cx| {
        shared.0.register(cx.waker());
        match shared.1.load(Ordering::Relaxed) == tasks * changes {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }));
    for application in applications {
        application.join().expect("no panic");
    }
}

#[test]
fn every_change_wakes_the_driver() {
    loom::model(|| drive(1, 2));
}

#[test]
fn changes_of_several_tasks_wake_the_driver() {
    let mut model = loom::model::Builder::new();
    // All interleavings of three threads take minutes.
    model.preemption_bound = Some(2);
    model.check(|| drive(2, 1));
}

#[test]
fn a_use_ends_the_wait_for_one() {
    loom::model(|| {
        let uses = Arc::new(Uses::new());
        let other = uses.clone();
        let application = thread::spawn(move || other.add());
        block_on(uses.after(0));
        application.join().expect("no panic");
        assert_eq!(uses.count(), 1);
    });
}

#[test]
fn a_use_ends_a_wait_that_follows_others() {
    loom::model(|| {
        let uses = Arc::new(Uses::new());
        // A wait that was cancelled, and one that ended, as those of an idle session.
        let mut cx = Context::from_waker(Waker::noop());
        assert!(pin!(uses.after(0)).poll(&mut cx).is_pending());
        uses.add();
        block_on(uses.after(0));
        let other = uses.clone();
        let application = thread::spawn(move || {
            other.add();
            other.add();
        });
        block_on(uses.after(1));
        block_on(uses.after(2));
        application.join().expect("no panic");
        assert_eq!(uses.count(), 3);
    });
}
