//! Routers: inside this process, of other processes, private networks, and simulated networks.

use std::{path::PathBuf, sync::Arc};

use eepkit::{
    DevnetRouter, EmbeddedBuilder, EmbeddedRouter, ErrorKind, HostBook, Reseed,
    sim::{Profile, SimNet},
};
use pyo3::{prelude::*, types::PyType};
use tokio::sync::Mutex;

use crate::{
    failure::Failure,
    keys::Destination,
    names::AddressBook,
    runtime::{Operation, Owned, Runtime, nothing, object, optional_seconds, seconds_to_duration},
    status::RouterWatch,
};

/// A router, on which sessions are opened.
#[pyclass(frozen, module = "eepkit._native")]
pub(crate) struct Router {
    inner: Owned<eepkit::Router>,
    /// The router of a private network, which can be killed and restarted.
    node: Option<Owned<DevnetRouter>>,
}

impl Router {
    fn new(inner: eepkit::Router) -> Self {
        Self {
            inner: Owned::new(inner),
            node: None,
        }
    }

    fn of_devnet(node: DevnetRouter) -> Self {
        Self {
            inner: Owned::new(eepkit::Router::new(node.clone())),
            node: Some(Owned::new(node)),
        }
    }

    pub(crate) fn inner(&self) -> PyResult<eepkit::Router> {
        self.inner.get().cloned()
    }

    fn node(&self) -> PyResult<DevnetRouter> {
        match &self.node {
            Some(node) => node.get().cloned(),
            None => Err(Failure::new(
                ErrorKind::Unsupported,
                "only routers of a private network can be killed and restarted",
            )
            .into()),
        }
    }
}

#[pymethods]
impl Router {
    /// A router that runs already, by its address.
    #[classmethod]
    #[pyo3(signature = (url, user = None, password = None))]
    fn attach(
        _class: &Bound<'_, PyType>,
        url: &str,
        user: Option<&str>,
        password: Option<&str>,
    ) -> PyResult<Self> {
        let attached = match (user, password) {
            (None, None) => eepkit::Router::attach(url),
            (user, password) => eepkit::Router::attach_with_login(
                url,
                user.unwrap_or_default(),
                password.unwrap_or_default(),
            ),
        };
        Ok(Self::new(attached.map_err(Failure::of)?))
    }

    /// The router that `EEPKIT_ROUTER` names.
    #[classmethod]
    fn from_env(_class: &Bound<'_, PyType>) -> PyResult<Self> {
        Ok(Self::new(eepkit::Router::from_env().map_err(Failure::of)?))
    }

    /// A simulated network in real time. All sessions of the router are on it.
    #[classmethod]
    #[pyo3(signature = (profile, seed, delay = None, loss = None, over_i2cp = false))]
    fn simulated(
        _class: &Bound<'_, PyType>,
        profile: &str,
        seed: u64,
        delay: Option<f64>,
        loss: Option<f64>,
        over_i2cp: bool,
    ) -> PyResult<Self> {
        let profile = match profile {
            "ideal" => Profile::Ideal,
            "local" => Profile::Local,
            "live" => Profile::Live,
            "harsh" => Profile::Harsh,
            other => {
                let text = format!(
                    "{other:?} is not a profile: use \"ideal\", \"local\", \"live\" or \"harsh\""
                );
                return Err(Failure::bad_input(text).into());
            }
        };
        let mut builder = SimNet::builder().profile(profile).seed(seed);
        if let Some(delay) = optional_seconds(delay)? {
            builder = builder.delay(delay);
        }
        if let Some(loss) = loss {
            if !(0.0..=1.0).contains(&loss) {
                let text = format!("{loss} is not a probability between 0 and 1");
                return Err(Failure::bad_input(text).into());
            }
            builder = builder.loss(loss);
        }
        let _context = Runtime::of_process()?.enter();
        let net = builder.start();
        Ok(Self::new(match over_i2cp {
            true => eepkit::Router::new(net.i2cp_router()),
            false => eepkit::Router::new(net.router()),
        }))
    }

    /// The same router, whose sessions look up names in `book` first.
    fn with_names(&self, book: &AddressBook) -> PyResult<Self> {
        Ok(Self {
            inner: Owned::new(self.inner.get()?.with_names(book.inner()?)),
            node: match &self.node {
                Some(node) => Some(Owned::new(node.get()?.clone())),
                None => None,
            },
        })
    }

    #[getter]
    fn name(&self) -> PyResult<String> {
        Ok(self.inner.get()?.name())
    }

    /// The number of open sessions.
    #[getter]
    fn sessions(&self) -> PyResult<usize> {
        Ok(self.inner.get()?.sessions().len())
    }

    /// `None` for a router outside of this process.
    fn watch(&self) -> PyResult<Option<RouterWatch>> {
        Ok(self.inner.get()?.watch().map(RouterWatch::new))
    }

    /// Connects to the router without opening a session. The result is the program and the version
    /// of its protocol, or `None`.
    fn probe(&self, seconds: f64, done: Py<PyAny>) -> PyResult<Operation> {
        let router = self.inner()?;
        let limit = seconds_to_duration(seconds)?;
        let work = async move { router.probe(limit).await.map_err(Failure::of) };
        Ok(Runtime::of_process()?.spawn(done, work, |py, identity| {
            let program = identity.and_then(|identity| identity.program);
            Ok(program.into_pyobject(py)?.into_any().unbind())
        }))
    }

    /// Closes all sessions, and stops a router in this process.
    fn shutdown(&self, done: Py<PyAny>) -> PyResult<Operation> {
        let router = self.inner()?;
        let work = async move {
            router.shutdown().await;
            Ok(())
        };
        Ok(Runtime::of_process()?.spawn(done, work, nothing))
    }

    /// Stops a router of a private network at once, as a crash would.
    fn kill(&self, done: Py<PyAny>) -> PyResult<Operation> {
        let node = self.node()?;
        let work = async move {
            node.kill().await;
            Ok(())
        };
        Ok(Runtime::of_process()?.spawn(done, work, nothing))
    }

    /// Starts a killed router of a private network again.
    fn restart(&self, done: Py<PyAny>) -> PyResult<Operation> {
        let node = self.node()?;
        let work = async move { node.restart().await.map_err(Failure::of) };
        Ok(Runtime::of_process()?.spawn(done, work, nothing))
    }

    fn __repr__(&self) -> PyResult<String> {
        Ok(format!("<Router {}>", self.inner.get()?.name()))
    }
}

/// The options of a router in this process.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Embedded {
    directory: PathBuf,
    ntcp2: Option<u16>,
    ssu2: Option<u16>,
    transit_tunnels: Option<usize>,
    no_transit: bool,
    bandwidth: Option<usize>,
    tunnel_length: Option<usize>,
    reseed_file: Option<PathBuf>,
    never_reseed: bool,
    port_mapping: bool,
    hosts: Vec<(String, Destination)>,
    private_network: Option<(u8, Vec<Vec<u8>>)>,
}

impl Embedded {
    fn into_builder(self) -> PyResult<EmbeddedBuilder> {
        let mut builder = EmbeddedRouter::builder(self.directory)
            .hosts(host_book(self.hosts)?)
            .port_mapping(self.port_mapping);
        if let Some(port) = self.ntcp2 {
            builder = builder.ntcp2(Some(port));
        }
        if let Some(port) = self.ssu2 {
            builder = builder.ssu2(Some(port));
        }
        if self.no_transit {
            builder = builder.transit_tunnels(Some(0));
        } else if let Some(most) = self.transit_tunnels {
            builder = builder.transit_tunnels(Some(most));
        }
        if let Some(bytes_per_second) = self.bandwidth {
            builder = builder.bandwidth(bytes_per_second, SHARE);
        }
        if let Some(hops) = self.tunnel_length {
            builder = builder.tunnel_length(hops);
        }
        if let Some(file) = self.reseed_file {
            builder = builder.reseed(Reseed::file(file));
        } else if self.never_reseed {
            builder = builder.reseed(Reseed::never());
        }
        if let Some((id, routers)) = self.private_network {
            builder = builder.private_network(id, routers);
        }
        Ok(builder)
    }
}

/// Starts a router in this process.
#[pyfunction]
pub(crate) fn embedded(options: Bound<'_, PyAny>, done: Py<PyAny>) -> PyResult<Operation> {
    let builder = options.extract::<Embedded>()?.into_builder()?;
    let work = async move {
        let router = eepkit::Router::start(builder).await.map_err(Failure::of)?;
        Ok(Router::new(router))
    };
    Ok(Runtime::of_process()?.spawn(done, work, object))
}

/// The router at an address, or else one in this process.
#[pyfunction]
pub(crate) fn attach_or_start(
    url: String,
    options: Bound<'_, PyAny>,
    done: Py<PyAny>,
) -> PyResult<Operation> {
    let builder = options.extract::<Embedded>()?.into_builder()?;
    let work = async move {
        let router = eepkit::Router::attach_or_start(&url, builder).await;
        Ok(Router::new(router.map_err(Failure::of)?))
    };
    Ok(Runtime::of_process()?.spawn(done, work, object))
}

/// A private network of real routers.
#[pyclass(frozen, module = "eepkit._native")]
pub(crate) struct Devnet {
    inner: Owned<Arc<Mutex<Option<eepkit::Devnet>>>>,
    nodes: Owned<Vec<DevnetRouter>>,
    #[pyo3(get)]
    network_id: u8,
    infos: Vec<Vec<u8>>,
}

#[pymethods]
impl Devnet {
    /// A handle of each router.
    fn routers(&self) -> PyResult<Vec<Router>> {
        let nodes = self.nodes.get()?.iter().cloned();
        Ok(nodes.map(Router::of_devnet).collect())
    }

    /// The network identifier and the routers, for a router that is to join the network.
    fn private_network(&self) -> (u8, Vec<Vec<u8>>) {
        (self.network_id, self.infos.clone())
    }

    fn stop(&self, done: Py<PyAny>) -> PyResult<Operation> {
        let net = self.inner.get()?.clone();
        let work = async move {
            // `None` if it was stopped before.
            if let Some(net) = net.lock().await.take() {
                net.stop().await;
            }
            Ok(())
        };
        Ok(Runtime::of_process()?.spawn(done, work, nothing))
    }
}

/// Starts a private network.
#[pyfunction]
pub(crate) fn devnet(
    routers: usize,
    tunnel_length: Option<usize>,
    seed: Option<u64>,
    hosts: Vec<(String, Destination)>,
    done: Py<PyAny>,
) -> PyResult<Operation> {
    let mut builder = eepkit::Devnet::builder()
        .routers(routers)
        .hosts(host_book(hosts)?);
    if let Some(hops) = tunnel_length {
        builder = builder.tunnel_length(hops);
    }
    if let Some(seed) = seed {
        builder = builder.seed(seed);
    }
    let work = async move {
        let net = builder.start().await.map_err(Failure::of)?;
        Ok(Devnet {
            nodes: Owned::new(net.routers().to_vec()),
            network_id: net.network_id(),
            infos: net.router_infos(),
            inner: Owned::new(Arc::new(Mutex::new(Some(net)))),
        })
    };
    Ok(Runtime::of_process()?.spawn(done, work, object))
}

fn host_book(hosts: Vec<(String, Destination)>) -> PyResult<HostBook> {
    let book = HostBook::new();
    for (name, destination) in hosts {
        book.insert(&name, destination.inner().clone())
            .map_err(Failure::bad_input)?;
    }
    Ok(book)
}

/// The part of the bandwidth for the tunnels of other routers, which is the router's own default.
const SHARE: f64 = 0.8;
