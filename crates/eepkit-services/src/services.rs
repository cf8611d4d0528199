//! All services of a program, which are started, reloaded and stopped together.

use std::{
    any::Any,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    bob::BobConfig,
    http_proxy::HttpProxyConfig,
    options::{File, FileError, FileErrors, Section},
    sam::SamConfig,
    service::{Context, Definition, Managed, Service, ServiceError, State},
    site::SiteConfig,
    socks::SocksConfig,
    tunnel::{
        ClientTunnelConfig, HttpServerTunnelConfig, IrcClientConfig, IrcServerConfig,
        ServerTunnelConfig, StreamrClientConfig, StreamrServerConfig, UdpClientConfig,
        UdpServerConfig,
    },
};

/// The services that run on a router.
///
/// [`Services::apply`] applies a configuration: new services are started, changed services are
/// restarted, removed services are stopped, and all others keep running.
#[derive(Debug)]
pub struct Services {
    context: Context,
    entries: Mutex<Vec<Entry>>,
    /// Locked while services change.
    changing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Clone)]
struct Entry {
    plan: Arc<dyn Plan>,
    service: Arc<dyn Service>,
}

impl Services {
    /// Creates an empty list of services on a router.
    pub fn new(context: impl Into<Context>) -> Self {
        Self {
            context: context.into(),
            entries: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
        }
    }

    /// Applies a list of services: runs these and no others. Services are identified by kind and
    /// name.
    ///
    /// Removed and changed services are stopped first, in reverse order, because others may need
    /// their addresses. Then each service is started in the order of the plans, or reloaded if it
    /// has not changed. A service that cannot be started does not prevent the others from starting.
    /// It stays in the list as failed, and the next `apply` tries again.
    ///
    /// Returns what was done.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, some services may be stopped and others not started. Another
    /// `apply` completes the change.
    pub async fn apply(&self, plans: Vec<Arc<dyn Plan>>) -> Vec<Applied> {
        let _changing = self.changing.lock().await;
        self.change(plans).await
    }

    /// Applies a list of services as [`apply`](Self::apply) does, or changes nothing.
    ///
    /// First, the files of all services are checked. If one cannot be used, nothing is stopped or
    /// started. If a new or changed service cannot be started, the services of before run again:
    /// those that had been stopped are started again, without the connections that they had.
    /// Services that are the same before and after are not interrupted in either case.
    ///
    /// # Errors
    ///
    /// [`ApplyError`].
    ///
    /// # Cancel safety
    ///
    /// As for `apply`.
    pub async fn try_apply(&self, plans: Vec<Arc<dyn Plan>>) -> Result<Vec<Applied>, ApplyError> {
        let _changing = self.changing.lock().await;
        for plan in &plans {
            if let Err(cause) = plan.check() {
                return Err(ApplyError::new(&**plan, cause, Vec::new()));
            }
        }
        let before: Vec<Arc<dyn Plan>> =
            self.lock().iter().map(|entry| entry.plan.clone()).collect();
        let mut applied = self.change(plans.clone()).await;
        let failed = applied.iter().position(|one| {
            one.result.is_err() && matches!(one.action, Action::Started | Action::Restarted)
        });
        let Some(failed) = failed else {
            return Ok(applied);
        };
        let failed = applied.swap_remove(failed);
        let (kind, name) = (failed.service.kind(), failed.service.name());
        let plan = plans
            .iter()
            .find(|plan| (plan.kind(), plan.name()) == (kind, name));
        let restored = self.change(before).await;
        let lost = restored.into_iter().filter(|one| one.result.is_err());
        match (plan, failed.result) {
            (Some(plan), Err(cause)) => Err(ApplyError::new(&**plan, cause, lost.collect())),
            // The failure was found by its plan and its error.
            _ => Ok(applied),
        }
    }

    /// Runs these services and no others.
    async fn change(&self, plans: Vec<Arc<dyn Plan>>) -> Vec<Applied> {
        let mut applied = Vec::new();
        let before = self.lock().clone();
        let (kept, gone): (Vec<Entry>, Vec<Entry>) = before
            .into_iter()
            .partition(|entry| plans.iter().any(|plan| plan.is_same(&*entry.plan)));
        self.lock()
            .retain(|entry| plans.iter().any(|plan| plan.is_same(&*entry.plan)));
        let is_known = |entries: &[Entry], plan: &Arc<dyn Plan>| {
            entries
                .iter()
                .any(|entry| entry.plan.kind() == plan.kind() && entry.plan.name() == plan.name())
        };
        for entry in gone.iter().rev() {
            entry.service.stop().await;
            let name = (entry.plan.kind(), entry.plan.name());
            if !plans.iter().any(|plan| (plan.kind(), plan.name()) == name) {
                applied.push(Applied::new(&entry.service, Action::Stopped, Ok(())));
            }
        }
        let mut entries = Vec::new();
        for plan in plans {
            let same = kept.iter().find(|entry| plan.is_same(&*entry.plan));
            let (entry, action) = match same {
                Some(entry) => (entry.clone(), Action::Kept),
                None => {
                    let action = match is_known(&gone, &plan) {
                        true => Action::Restarted,
                        false => Action::Started,
                    };
                    let service = plan.build(&self.context);
                    (Entry { plan, service }, action)
                }
            };
            entries.push(entry.clone());
            self.show(&entries, &kept);
            let result = match action {
                Action::Kept => entry.service.reload().await,
                _ => entry.service.start().await,
            };
            applied.push(Applied::new(&entry.service, action, result));
        }
        applied
    }

    /// Sets the list to `entries` and the entries that are not processed yet.
    fn show(&self, entries: &[Entry], kept: &[Entry]) {
        let mut list = entries.to_vec();
        for entry in kept {
            if !list
                .iter()
                .any(|there| Arc::ptr_eq(&there.service, &entry.service))
            {
                list.push(entry.clone());
            }
        }
        *self.lock() = list;
    }

    /// The services, in the order in which they were configured.
    pub fn list(&self) -> Vec<Arc<dyn Service>> {
        self.lock()
            .iter()
            .map(|entry| entry.service.clone())
            .collect()
    }

    /// Returns the service of this kind and name.
    pub fn find(&self, kind: &str, name: &str) -> Option<Arc<dyn Service>> {
        self.list()
            .into_iter()
            .find(|service| service.kind() == kind && service.name() == name)
    }

    /// Stops all services, in reverse order.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the services that were not reached keep running.
    pub async fn stop(&self) {
        let _changing = self.changing.lock().await;
        for service in self.list().iter().rev() {
            service.stop().await;
        }
    }

    /// A panic while the lock is held leaves the list consistent, because it is replaced as a
    /// whole.
    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The reason why [`Services::try_apply`] has changed nothing.
#[derive(Debug, thiserror::Error)]
#[error("{kind} {name}")]
#[non_exhaustive]
pub struct ApplyError {
    /// The kind of the service that cannot run.
    pub kind: &'static str,
    /// The name of the service.
    pub name: String,
    /// The line of its section in the configuration file.
    pub line: Option<usize>,
    /// The cause.
    #[source]
    pub cause: ServiceError,
    /// The services of before that cannot run either. They are failed.
    pub lost: Vec<Applied>,
}

impl ApplyError {
    fn new(plan: &dyn Plan, cause: ServiceError, lost: Vec<Applied>) -> Self {
        Self {
            kind: plan.kind(),
            name: plan.name().to_owned(),
            line: plan.line(),
            cause,
            lost,
        }
    }
}

/// The effect of [`Services::apply`] on one service.
#[derive(Debug)]
pub struct Applied {
    /// The service.
    pub service: Arc<dyn Service>,
    /// The action.
    pub action: Action,
    /// The result of the action.
    pub result: Result<(), ServiceError>,
}

impl Applied {
    fn new(service: &Arc<dyn Service>, action: Action, result: Result<(), ServiceError>) -> Self {
        Self {
            service: service.clone(),
            action,
            result,
        }
    }

    /// The state of the service afterwards.
    pub fn state(&self) -> State {
        self.service.state()
    }
}

/// The action of [`Services::apply`] on one service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// The service is new and was started.
    Started,
    /// The configuration has not changed. The files were read again.
    Kept,
    /// The configuration has changed, and the service was restarted.
    Restarted,
    /// The service is not in the configuration any more, and was stopped.
    Stopped,
}

/// The configuration of one service of any kind.
pub trait Plan: Any + fmt::Debug + Send + Sync {
    /// The kind.
    fn kind(&self) -> &'static str;

    /// The name, unique among the services of its kind.
    fn name(&self) -> &str;

    /// The line of its section in the configuration file.
    fn line(&self) -> Option<usize>;

    /// Whether kind, name and configuration are the same. The line does not matter.
    fn is_same(&self, other: &dyn Plan) -> bool;

    /// Checks, without starting anything, that the files of the configuration can be used.
    ///
    /// # Errors
    ///
    /// [`ServiceError`].
    fn check(&self) -> Result<(), ServiceError>;

    /// Creates the service, which is not started.
    fn build(&self, context: &Context) -> Arc<dyn Service>;
}

/// Creates a plan for a service of this name.
pub fn plan<D: Definition>(name: impl Into<String>, definition: D) -> Arc<dyn Plan> {
    Arc::new(Planned {
        name: name.into(),
        definition,
        line: None,
    })
}

#[derive(Debug)]
struct Planned<D> {
    name: String,
    definition: D,
    line: Option<usize>,
}

impl<D: Definition> Plan for Planned<D> {
    fn kind(&self) -> &'static str {
        D::KIND
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn line(&self) -> Option<usize> {
        self.line
    }

    fn is_same(&self, other: &dyn Plan) -> bool {
        let other: &dyn Any = other;
        other
            .downcast_ref::<Self>()
            .is_some_and(|other| (&other.name, &other.definition) == (&self.name, &self.definition))
    }

    fn check(&self) -> Result<(), ServiceError> {
        self.definition.check()
    }

    fn build(&self, context: &Context) -> Arc<dyn Service> {
        let definition = self.definition.clone();
        Arc::new(Managed::new(&self.name, definition, context.clone()))
    }
}

/// A kind of service that a configuration file can have.
#[derive(Clone, Copy)]
pub struct Kind {
    /// The name of its section.
    pub name: &'static str,
    /// The name of the kind in text.
    pub title: &'static str,
    /// The section as a file with every key, commented out.
    pub example_file: fn() -> String,
    /// A command that uses a service at this address, for users.
    pub example_command: fn(&str) -> Option<String>,
    /// Its options as a table in Markdown, with the flags of this command.
    pub markdown: fn(&str) -> String,
    has_key: fn(&str) -> bool,
    read: fn(&Section<'_>, &mut FileErrors) -> Option<Found>,
    by_default: fn() -> Option<Arc<dyn Plan>>,
    without_file: fn() -> Option<Arc<dyn Plan>>,
}

/// A service of a configuration file: a function that creates a plan for a given name, and the name
/// in the file.
type Found = (Box<dyn FnOnce(String) -> Arc<dyn Plan>>, Option<String>);

impl Kind {
    const fn of<D: Definition>() -> Self {
        Self {
            name: D::KIND,
            title: D::TITLE,
            example_file: || D::table().example_file(),
            example_command: D::example_command,
            markdown: |command| D::table().markdown(command),
            has_key: |key| D::table().find(key).is_some(),
            read: |section, errors| {
                let mut own = FileErrors::new();
                let definition = D::table().read_valid(section, &mut own);
                // Errors of single keys would cause errors of their combination.
                if own.is_empty()
                    && let Err(why) = definition.validate()
                {
                    own.push(section.error(why));
                }
                let is_valid = own.is_empty();
                errors.extend(own);
                if !is_valid || !definition.is_enabled() {
                    return None;
                }
                let name = definition.name().map(str::to_owned);
                let line = Some(section.line());
                let plan = move |name| -> Arc<dyn Plan> {
                    Arc::new(Planned {
                        name,
                        definition,
                        line,
                    })
                };
                Some((Box::new(plan), name))
            },
            by_default: || D::BY_DEFAULT.then(|| plan(D::KIND, (D::table().defaults)())),
            without_file: || D::WITHOUT_FILE.then(|| plan(D::KIND, (D::table().defaults)())),
        }
    }

    /// Whether a service of this kind runs if the configuration file has no such section.
    pub fn runs_by_default(&self) -> bool {
        (self.by_default)().is_some()
    }

    /// Whether sections of this kind can have this key.
    pub fn has_key(&self, key: &str) -> bool {
        (self.has_key)(key)
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kind").field("name", &self.name).finish()
    }
}

/// All kinds of services.
pub const KINDS: &[Kind] = &[
    Kind::of::<SamConfig>(),
    Kind::of::<BobConfig>(),
    Kind::of::<HttpProxyConfig>(),
    Kind::of::<SocksConfig>(),
    Kind::of::<ClientTunnelConfig>(),
    Kind::of::<ServerTunnelConfig>(),
    Kind::of::<HttpServerTunnelConfig>(),
    Kind::of::<SiteConfig>(),
    Kind::of::<IrcClientConfig>(),
    Kind::of::<IrcServerConfig>(),
    Kind::of::<UdpClientConfig>(),
    Kind::of::<UdpServerConfig>(),
    Kind::of::<StreamrClientConfig>(),
    Kind::of::<StreamrServerConfig>(),
];

/// The services of a configuration file. A service without a name is named after its kind, further
/// ones after kind and number: `sam`, `sam-2`.
///
/// # Errors
///
/// The first [`FileError`].
pub fn read_plans(file: &File<'_>) -> Result<Vec<Arc<dyn Plan>>, FileError> {
    let mut errors = FileErrors::new();
    let plans = read_all_plans(file, &mut errors);
    errors.first().map(|()| plans)
}

/// The services of a configuration file, as [`read_plans`] returns them, without those that have
/// errors, which are reported to `errors`.
pub fn read_all_plans(file: &File<'_>, errors: &mut FileErrors) -> Vec<Arc<dyn Plan>> {
    let mut plans: Vec<Arc<dyn Plan>> = Vec::new();
    for kind in KINDS {
        let before = errors.len();
        let sections = file.valid_sections(kind.name, errors);
        if errors.len() > before {
            continue;
        }
        if sections.is_empty() {
            plans.extend((kind.by_default)());
        }
        for (number, section) in sections.iter().enumerate() {
            let Some((plan, given)) = (kind.read)(section, errors) else {
                continue;
            };
            let name = given.unwrap_or_else(|| match number {
                0 => kind.name.to_owned(),
                _ => format!("{}-{}", kind.name, number + 1),
            });
            let plan = plan(name);
            let taken =
                |other: &Arc<dyn Plan>| (other.kind(), other.name()) == (plan.kind(), plan.name());
            if plans.iter().any(taken) {
                errors.push(section.error(format_args!("the name {:?} is taken", plan.name())));
                continue;
            }
            plans.push(plan);
        }
    }
    plans
}

/// The services that run without a configuration file: the SAM bridge and the proxies.
pub fn default_plans() -> Vec<Arc<dyn Plan>> {
    KINDS
        .iter()
        .filter_map(|kind| (kind.without_file)())
        .collect()
}

#[cfg(test)]
mod tests;
