use std::sync::atomic::{AtomicUsize, Ordering};

use eepkit::{Router, sim::SimNet};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    access,
    options::{Opt, Table},
    serve::Addresses,
    service::{Running, Statistic, Work},
};

/// Events in their order.
static LOG: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// A service with this number passes the check, and cannot be started.
const UNLUCKY: usize = 77;

/// Tests that read the log run one at a time.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

fn log(what: impl Into<String>) {
    LOG.lock().expect("no panic").push(what.into());
}

fn logged() -> Vec<String> {
    std::mem::take(&mut *LOG.lock().expect("no panic"))
}

/// A service that only counts how often its files were read.
#[derive(Debug, Clone, PartialEq)]
struct Null {
    name: Option<String>,
    enabled: bool,
    number: usize,
    broken: bool,
}

static TABLE: Table<Null> = Table {
    section: "null",
    doc: "A service that does nothing.",
    defaults: || Null {
        name: None,
        enabled: true,
        number: 1,
        broken: false,
    },
    options: &[
        Opt::new("name", access!(Null, Option<String>, name), "Its name."),
        Opt::new("enabled", access!(Null, bool, enabled), "Whether it runs."),
        Opt::new("number", access!(Null, usize, number), "A number."),
    ],
};

impl Definition for Null {
    type Running = Counting;

    const KIND: &'static str = "null";
    const TITLE: &'static str = "null";
    const BY_DEFAULT: bool = false;

    fn table() -> &'static Table<Self> {
        &TABLE
    }

    fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    fn is_enabled(&self) -> bool {
        self.enabled
    }

    fn validate(&self) -> Result<(), String> {
        match self.number {
            13 => Err("13 is not allowed".to_owned()),
            _ => Ok(()),
        }
    }

    fn check(&self) -> Result<(), ServiceError> {
        match self.broken {
            true => Err(ServiceError::NoAddress),
            false => Ok(()),
        }
    }

    async fn launch(&self, _context: &Context) -> Result<Counting, ServiceError> {
        log(format!("start {}", self.number));
        self.check()?;
        if self.number == UNLUCKY {
            return Err(ServiceError::NoAddress);
        }
        Ok(Counting {
            number: self.number,
            ended: CancellationToken::new(),
            reloads: AtomicUsize::new(0),
        })
    }
}

struct Counting {
    number: usize,
    /// Cancelled to let the service end by itself.
    ended: CancellationToken,
    reloads: AtomicUsize,
}

impl Running<Null> for Counting {
    fn addresses(&self) -> Addresses {
        Addresses::default()
    }

    fn statistics(&self) -> Vec<Statistic> {
        let reloads = self.reloads.load(Ordering::Relaxed);
        vec![Statistic::gauge(
            "reloads",
            "How often files were read",
            reloads,
        )]
    }

    fn reload(&self, _definition: &Null) -> Result<(), ServiceError> {
        self.reloads.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn stop(&self) {
        log(format!("stop {}", self.number));
    }

    fn ended(&self) -> Option<Work<'static, ()>> {
        Some(Box::pin(self.ended.clone().cancelled_owned()))
    }
}

fn null(name: &str, number: usize) -> Arc<dyn Plan> {
    let definition = Null {
        number,
        ..(TABLE.defaults)()
    };
    plan(name, definition)
}

fn broken(name: &str) -> Arc<dyn Plan> {
    let definition = Null {
        broken: true,
        number: 99,
        ..(TABLE.defaults)()
    };
    plan(name, definition)
}

fn services() -> (SimNet, Services) {
    let net = SimNet::builder().start();
    let router = Router::new(net.router());
    (net, Services::new(router))
}

fn actions(applied: &[Applied]) -> Vec<(&str, Action)> {
    applied
        .iter()
        .map(|one| (one.service.name(), one.action))
        .collect()
}

#[tokio::test]
async fn only_changed_services_restart() {
    let _turn = TURN.lock().await;
    logged();
    let (_net, services) = services();
    let plans = vec![null("a", 1), null("b", 2), null("c", 3)];
    let applied = services.apply(plans).await;
    assert!(applied.iter().all(|one| one.result.is_ok()));
    assert!(applied.iter().all(|one| one.state() == State::Running));
    assert_eq!(logged(), ["start 1", "start 2", "start 3"]);
    let b = services.find("null", "b").expect("it runs");

    let applied = services
        .apply(vec![null("d", 4), null("b", 2), null("a", 10)])
        .await;
    assert_eq!(
        actions(&applied),
        [
            ("c", Action::Stopped),
            ("d", Action::Started),
            ("b", Action::Kept),
            ("a", Action::Restarted),
        ]
    );
    // Removed services are stopped in reverse order, before any service starts.
    assert_eq!(logged(), ["stop 3", "stop 1", "start 4", "start 10"]);
    let again = services.find("null", "b").expect("it runs");
    assert!(Arc::ptr_eq(&b, &again));
    assert_eq!(b.statistics()[0].value, 1, "its files were read again");
    let names: Vec<_> = services
        .list()
        .iter()
        .map(|one| one.name().to_owned())
        .collect();
    assert_eq!(names, ["d", "b", "a"]);

    services.stop().await;
    assert_eq!(logged(), ["stop 10", "stop 2", "stop 4"]);
    assert!(
        services
            .list()
            .iter()
            .all(|one| one.state() == State::Stopped)
    );
}

#[tokio::test]
async fn a_failed_service_does_not_stop_others_and_is_tried_again() {
    let _turn = TURN.lock().await;
    logged();
    let (_net, services) = services();
    let plans = || vec![broken("x"), null("a", 1)];
    let applied = services.apply(plans()).await;
    assert!(matches!(applied[0].result, Err(ServiceError::NoAddress)));
    assert_eq!(
        applied[0].state(),
        State::Failed("no address to listen on".to_owned())
    );
    assert_eq!(applied[1].state(), State::Running);
    assert_eq!(logged(), ["start 99", "start 1"]);
    let applied = services.apply(plans()).await;
    assert_eq!(
        actions(&applied),
        [("x", Action::Kept), ("a", Action::Kept)]
    );
    assert!(applied[0].result.is_err());
    assert_eq!(logged(), ["start 99"]);
    assert!(plans()[0].check().is_err() && plans()[1].check().is_ok());
}

#[tokio::test]
async fn a_change_that_fails_changes_nothing() {
    let _turn = TURN.lock().await;
    logged();
    let (_net, services) = services();
    let old = || vec![null("a", 1), null("b", 2), null("c", 3)];
    services.try_apply(old()).await.expect("they start");
    logged();
    let b = services.find("null", "b").expect("it runs");
    let running = |services: &Services| -> Vec<(String, State)> {
        let list = services.list();
        list.iter()
            .map(|one| (one.name().to_owned(), one.state()))
            .collect()
    };

    // The files of a service cannot be used: nothing is stopped.
    let error = services
        .try_apply(vec![null("a", 10), null("b", 2), broken("x")])
        .await
        .expect_err("x is broken");
    assert_eq!((error.kind, error.name.as_str()), ("null", "x"));
    assert!(error.lost.is_empty());
    assert_eq!(logged(), [""; 0]);

    // A service cannot be started: the old services run again, and b was not interrupted.
    let error = services
        .try_apply(vec![null("a", 10), null("b", 2), null("y", UNLUCKY)])
        .await
        .expect_err("y does not start");
    assert_eq!(error.name, "y");
    assert!(matches!(error.cause, ServiceError::NoAddress));
    assert!(error.lost.is_empty());
    assert_eq!(
        logged(),
        [
            "stop 3", "stop 1", "start 10", "start 77", "stop 10", "start 1", "start 3"
        ]
    );
    let expected = ["a", "b", "c"].map(|name| (name.to_owned(), State::Running));
    assert_eq!(running(&services), expected);
    let again = services.find("null", "b").expect("it runs");
    assert!(Arc::ptr_eq(&b, &again));

    // What is the same as before is no change.
    let applied = services.try_apply(old()).await.expect("no change");
    assert!(applied.iter().all(|one| one.action == Action::Kept));
    assert_eq!(logged(), [""; 0]);
}

#[test]
fn plans_of_a_file_have_lines_and_are_the_same_on_other_lines() {
    let plans = |text: &str| {
        let file = File::parse(text, "").expect("TOML");
        read_plans(&file).expect("valid")
    };
    let (one, other) = (plans("[sam]\n"), plans("\n\n[sam]\n"));
    assert_eq!((one[0].line(), other[0].line()), (Some(1), Some(3)));
    assert!(one[0].is_same(&*other[0]));
    assert_eq!(null("a", 1).line(), None);
}

#[test]
fn all_errors_of_a_file_are_found_at_once() {
    let text = "[sam]\nlisten = 3\nx = 1\n[[http-proxy]]\nlisten = []\n[[socks]]\nname = \"a\"\n\
                [[socks]]\nname = \"a\"\n[[socks]]\n";
    let file = File::parse(text, "").expect("TOML");
    let mut errors = FileErrors::new();
    let plans = read_all_plans(&file, &mut errors);
    let lines: Vec<_> = errors.iter().map(|error| error.line).collect();
    assert_eq!(lines, [2, 3, 4, 8]);
    let names: Vec<_> = plans.iter().map(|plan| plan.name()).collect();
    assert_eq!(names, ["a", "socks-3"]);
}

#[tokio::test]
async fn states_can_be_watched() {
    let _turn = TURN.lock().await;
    let (_net, services) = services();
    services.apply(vec![null("a", 1)]).await;
    let service = services.find("null", "a").expect("it runs");
    let mut states = service.states();
    assert_eq!(*states.borrow_and_update(), State::Running);
    service.stop().await;
    assert_eq!(*states.borrow_and_update(), State::Stopped);
    assert!(service.statistics().is_empty());
    service.start().await.expect("it starts again");
    assert_eq!(*states.borrow_and_update(), State::Running);
}

#[tokio::test]
async fn a_service_that_ends_by_itself_is_stopped_and_can_be_started_again() {
    let _turn = TURN.lock().await;
    let (net, _) = services();
    let null = Null {
        name: None,
        enabled: true,
        number: 1,
        broken: false,
    };
    let service = Managed::new("a", null, Router::new(net.router()));
    let mut states = service.states();
    for _ in 0..2 {
        service.start().await.expect("it starts");
        let running = service.running().expect("it runs");
        running.ended.cancel();
        let stopped = states.wait_for(|state| *state == State::Stopped).await;
        stopped.expect("the service exists");
        assert!(service.running().is_none());
    }
    service.start().await.expect("it starts");
    tokio::task::yield_now().await;
    assert_eq!(service.state(), State::Running);
}

#[test]
fn a_section_is_checked_as_a_whole() {
    let text = "# x\n[null]\nnumber = 13\n";
    let file = File::parse(text, "").expect("TOML");
    let sections = file.sections("null").expect("a section");
    let mut errors = FileErrors::new();
    assert!((Kind::of::<Null>().read)(&sections[0], &mut errors).is_none());
    let error = errors.first().expect_err("13");
    assert_eq!(error.to_string(), "line 2: [null]: 13 is not allowed");
}

#[test]
fn names_of_services_are_unique() {
    let names = |text: &str| -> Result<Vec<String>, FileError> {
        let file = File::parse(text, "").expect("TOML");
        let plans = read_plans(&file)?;
        Ok(plans.iter().map(|plan| plan.name().to_owned()).collect())
    };
    assert_eq!(names(""), Ok(vec!["sam".to_owned()]));
    assert_eq!(
        names("[[sam]]\n[[sam]]\nname = \"x\"\n[[sam]]\n"),
        Ok(vec!["sam".to_owned(), "x".to_owned(), "sam-3".to_owned()])
    );
    let error = names("[[sam]]\n[[sam]]\nname = \"sam\"\n").expect_err("taken");
    assert_eq!(
        error.to_string(),
        "line 2: [sam]: the name \"sam\" is taken"
    );
}
