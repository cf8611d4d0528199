//! All services of a program: started, reloaded and stopped together.

use std::{
    any::Any,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use eepkit::Router;

use crate::{
    options::{File, FileError, Section},
    sam::SamConfig,
    service::{Definition, Managed, Service, StartError, State},
};

/// The services that run on a router.
///
/// [`Services::apply`] brings them in line with a configuration: what is new is started, what has
/// changed is restarted, what is gone is stopped, and everything else stays as it is.
#[derive(Debug)]
pub struct Services {
    router: Router,
    entries: Mutex<Vec<Entry>>,
    /// Held while services change.
    changing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Clone)]
struct Entry {
    plan: Arc<dyn Plan>,
    service: Arc<dyn Service>,
}

impl Services {
    /// No services on `router` yet.
    pub fn new(router: Router) -> Self {
        Self {
            router,
            entries: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
        }
    }

    /// Runs these services and no others. Services are known by their kind and name.
    ///
    /// Services that are gone or have changed are stopped first, in reverse order, because others
    /// may want their addresses. Then each service is started, or reloaded if it has not changed,
    /// in the order of the plans. One that cannot be started does not keep the others from it: it
    /// stays in the list as failed, and the next `apply` tries again.
    ///
    /// Returns what was done.
    ///
    /// # Cancel safety
    ///
    /// Dropped, some services may be stopped and others not started. Another `apply` completes it.
    pub async fn apply(&self, plans: Vec<Arc<dyn Plan>>) -> Vec<Applied> {
        let _changing = self.changing.lock().await;
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
                    let service = plan.build(&self.router);
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

    /// Makes the list that of `entries`, and of those that are still to come.
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

    /// The service of this kind and name.
    pub fn find(&self, kind: &str, name: &str) -> Option<Arc<dyn Service>> {
        self.list()
            .into_iter()
            .find(|service| service.kind() == kind && service.name() == name)
    }

    /// Stops all services, in reverse order.
    ///
    /// # Cancel safety
    ///
    /// Dropped, services that were not reached run on.
    pub async fn stop(&self) {
        let _changing = self.changing.lock().await;
        for service in self.list().iter().rev() {
            service.stop().await;
        }
    }

    /// A panic while the lock is held leaves nothing half done: the list is replaced as a whole.
    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What [`Services::apply`] did with a service.
#[derive(Debug)]
pub struct Applied {
    /// The service.
    pub service: Arc<dyn Service>,
    /// What was done.
    pub action: Action,
    /// Whether it worked.
    pub result: Result<(), StartError>,
}

impl Applied {
    fn new(service: &Arc<dyn Service>, action: Action, result: Result<(), StartError>) -> Self {
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

/// What is done with a service when a configuration is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// It is new.
    Started,
    /// Its configuration has not changed. Its files were read again.
    Kept,
    /// Its configuration has changed.
    Restarted,
    /// It is not in the configuration any more.
    Stopped,
}

/// The configuration of one service of any kind.
pub trait Plan: Any + fmt::Debug + Send + Sync {
    /// The kind.
    fn kind(&self) -> &'static str;

    /// The name, which is unique among those of its kind.
    fn name(&self) -> &str;

    /// Whether kind, name and configuration are the same.
    fn is_same(&self, other: &dyn Plan) -> bool;

    /// Checks, without starting anything, that the files it names can be used.
    ///
    /// # Errors
    ///
    /// [`StartError`].
    fn check(&self) -> Result<(), StartError>;

    /// A service that does not run yet.
    fn build(&self, router: &Router) -> Arc<dyn Service>;
}

/// A plan for a service of this name.
pub fn plan<D: Definition>(name: impl Into<String>, definition: D) -> Arc<dyn Plan> {
    Arc::new(Planned {
        name: name.into(),
        definition,
    })
}

#[derive(Debug, PartialEq)]
struct Planned<D> {
    name: String,
    definition: D,
}

impl<D: Definition> Plan for Planned<D> {
    fn kind(&self) -> &'static str {
        D::KIND
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn is_same(&self, other: &dyn Plan) -> bool {
        let other: &dyn Any = other;
        other.downcast_ref::<Self>() == Some(self)
    }

    fn check(&self) -> Result<(), StartError> {
        self.definition.check()
    }

    fn build(&self, router: &Router) -> Arc<dyn Service> {
        let definition = self.definition.clone();
        Arc::new(Managed::new(&self.name, definition, router.clone()))
    }
}

/// A kind of service that a configuration file can have.
#[derive(Clone, Copy)]
pub struct Kind {
    /// The name of its section.
    pub name: &'static str,
    /// What people call it.
    pub title: &'static str,
    /// The section as a file with every key, commented out.
    pub example_file: fn() -> String,
    /// Its options as a table in Markdown, with the flags of this command.
    pub markdown: fn(&str) -> String,
    has_key: fn(&str) -> bool,
    read: fn(&Section<'_>) -> Result<Option<Found>, FileError>,
    by_default: fn() -> Option<Arc<dyn Plan>>,
}

/// A service of a configuration file: what makes a plan of it once it has a name, and the name that
/// the file gives it.
type Found = (Box<dyn FnOnce(String) -> Arc<dyn Plan>>, Option<String>);

impl Kind {
    const fn of<D: Definition>() -> Self {
        Self {
            name: D::KIND,
            title: D::TITLE,
            example_file: || D::table().example_file(),
            markdown: |command| D::table().markdown(command),
            has_key: |key| D::table().find(key).is_some(),
            read: |section| {
                let definition = D::table().read(section)?;
                definition.validate().map_err(|why| section.error(why))?;
                if !definition.is_enabled() {
                    return Ok(None);
                }
                let name = definition.name().map(str::to_owned);
                Ok(Some((Box::new(|name| plan(name, definition)), name)))
            },
            by_default: || D::BY_DEFAULT.then(|| plan(D::KIND, (D::table().defaults)())),
        }
    }

    /// Whether its sections can have this key.
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
pub const KINDS: &[Kind] = &[Kind::of::<SamConfig>()];

/// The services of a configuration file. A service without a name is called by its kind, further
/// ones by kind and number: `sam`, `sam-2`.
///
/// # Errors
///
/// [`FileError`].
pub fn read_plans(file: &File<'_>) -> Result<Vec<Arc<dyn Plan>>, FileError> {
    let mut plans: Vec<Arc<dyn Plan>> = Vec::new();
    for kind in KINDS {
        let sections = file.sections(kind.name)?;
        if sections.is_empty() {
            plans.extend((kind.by_default)());
        }
        for (number, section) in sections.iter().enumerate() {
            let Some((plan, given)) = (kind.read)(section)? else {
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
                return Err(section.error(format_args!("the name {:?} is taken", plan.name())));
            }
            plans.push(plan);
        }
    }
    Ok(plans)
}

/// The services that run if there is no configuration file.
pub fn default_plans() -> Vec<Arc<dyn Plan>> {
    KINDS
        .iter()
        .filter_map(|kind| (kind.by_default)())
        .collect()
}

#[cfg(test)]
mod tests;
