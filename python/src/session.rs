//! Sessions, and the streams that they open and accept.

use std::{path::PathBuf, sync::Arc};

use eepkit::{Address, ConnectOptions, ErrorKind, IntoAddress as _, PingOptions, SessionBuilder};
use pyo3::prelude::*;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::Instant,
};

use crate::{
    carrier::Connection,
    datagrams::{DatagramSocket, bind},
    failure::Failure,
    keys::{Destination, PrivateKeys, parse_type},
    router::Router,
    runtime::{
        Closable, Operation, Owned, Runtime, nothing, object, optional_seconds, seconds_to_duration,
    },
    status::SessionWatch,
};

/// A destination that is online.
#[pyclass(frozen, module = "eepkit._native")]
pub(crate) struct Session {
    inner: Owned<eepkit::Session>,
}

/// What a stream or datagram is sent to.
#[derive(FromPyObject)]
pub(crate) enum To {
    Destination(Destination),
    Text(String),
}

impl To {
    pub(crate) fn address(self, port: Option<u16>) -> Result<Address, Failure> {
        let address = match self {
            Self::Destination(destination) => destination.inner().into_address(),
            Self::Text(text) => text.into_address(),
        };
        let address = address.map_err(Failure::of)?;
        Ok(match port {
            Some(port) => address.with_port(port),
            None => address,
        })
    }
}

#[pymethods]
impl Session {
    #[getter]
    fn destination(&self) -> PyResult<Destination> {
        Ok(self.inner.get()?.destination().clone().into())
    }

    #[getter]
    fn keys(&self) -> PyResult<PrivateKeys> {
        Ok(self.inner.get()?.keys().clone().into())
    }

    fn watch(&self) -> PyResult<SessionWatch> {
        Ok(SessionWatch::new(self.inner.get()?.watch()))
    }

    #[pyo3(signature = (to, port, local_port, seconds, done))]
    fn connect(
        &self,
        to: To,
        port: Option<u16>,
        local_port: Option<u16>,
        seconds: Option<f64>,
        done: Py<PyAny>,
    ) -> PyResult<Operation> {
        let session = self.inner.get()?.clone();
        let address = to.address(port)?;
        let mut options = ConnectOptions::new();
        if let Some(port) = local_port {
            options = options.local_port(port);
        }
        if let Some(limit) = optional_seconds(seconds)? {
            options = options.timeout(limit);
        }
        let work = async move {
            let stream = session.connect_with(address, &options).await;
            Connection::carry(stream.map_err(Failure::of)?)
        };
        Ok(Runtime::of_process()?.spawn(done, work, object))
    }

    fn listen(&self, port: u16, backlog: Option<usize>) -> PyResult<Listener> {
        let session = self.inner.get()?;
        let listener = match backlog {
            Some(backlog) => session.listen_with(port, backlog),
            None => session.listen(port),
        };
        let listener = listener.map_err(Failure::of)?;
        Ok(Listener {
            port,
            inner: Closable::new(Arc::new(listener)),
        })
    }

    fn datagrams(
        &self,
        format: &str,
        port: u16,
        protocol: Option<u8>,
        queue: Option<usize>,
    ) -> PyResult<DatagramSocket> {
        bind(self.inner.get()?, format, port, protocol, queue)
    }

    fn lookup(&self, name: To, done: Py<PyAny>) -> PyResult<Operation> {
        let session = self.inner.get()?.clone();
        let address = name.address(None)?;
        let work = async move {
            let found = session.lookup(address).await.map_err(Failure::of)?;
            Ok(Destination::from(found))
        };
        Ok(Runtime::of_process()?.spawn(done, work, object))
    }

    fn lease_set_options(&self, to: To, done: Py<PyAny>) -> PyResult<Operation> {
        let session = self.inner.get()?.clone();
        let address = to.address(None)?;
        let work = async move {
            session
                .lease_set_options(address)
                .await
                .map_err(Failure::of)
        };
        Ok(Runtime::of_process()?.spawn(done, work, |py, options| {
            Ok(options.into_pyobject(py)?.into_any().unbind())
        }))
    }

    /// The result is the round-trip time in seconds.
    fn ping(&self, to: To, seconds: Option<f64>, done: Py<PyAny>) -> PyResult<Operation> {
        let session = self.inner.get()?.clone();
        let address = to.address(None)?;
        let mut options = PingOptions::new();
        if let Some(limit) = optional_seconds(seconds)? {
            options = options.timeout(limit);
        }
        let work = async move {
            let time = session.ping_with(address, &options).await;
            Ok(time.map_err(Failure::of)?.as_secs_f64())
        };
        Ok(Runtime::of_process()?.spawn(done, work, |py, time| {
            Ok(time.into_pyobject(py)?.into_any().unbind())
        }))
    }

    fn set_tunnel_quantity(&self, inbound: u8, outbound: u8) -> PyResult<()> {
        let set = self.inner.get()?.set_tunnel_quantity(inbound, outbound);
        set.map_err(|error| Failure::of(error).into())
    }

    /// Sends so many bytes to another session of this process, without Python in between. The result
    /// is the time in seconds. For measurements.
    fn transfer(&self, to: &Self, bytes: u64, done: Py<PyAny>) -> PyResult<Operation> {
        let (client, server) = (self.inner.get()?.clone(), to.inner.get()?.clone());
        let work = async move {
            let listener = server.listen(TRANSFER_PORT).map_err(Failure::of)?;
            let address = (server.destination().clone(), TRANSFER_PORT);
            let connecting = client.connect(address);
            let (outgoing, incoming) = tokio::join!(connecting, listener.accept());
            let (mut outgoing, mut incoming) = (
                outgoing.map_err(Failure::of)?,
                incoming.map_err(Failure::of)?,
            );
            let began = Instant::now();
            let sending = async {
                let mut source = tokio::io::repeat(0).take(bytes);
                tokio::io::copy(&mut source, &mut outgoing).await?;
                outgoing.shutdown().await
            };
            let mut sink = tokio::io::sink();
            let receiving = tokio::io::copy(&mut incoming, &mut sink);
            let (sent, received) = tokio::join!(sending, receiving);
            sent.map_err(Failure::io)?;
            if received.map_err(Failure::io)? != bytes {
                return Err(Failure::new(ErrorKind::Protocol, "bytes were lost"));
            }
            Ok(began.elapsed().as_secs_f64())
        };
        Ok(Runtime::of_process()?.spawn(done, work, |py, time| {
            Ok(time.into_pyobject(py)?.into_any().unbind())
        }))
    }

    fn close(&self, done: Py<PyAny>) -> PyResult<Operation> {
        let session = self.inner.get()?.clone();
        let work = async move {
            session.close().await;
            Ok(())
        };
        Ok(Runtime::of_process()?.spawn(done, work, nothing))
    }
}

/// The options of a session.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Options {
    keys: Option<Py<PrivateKeys>>,
    key_file: Option<PathBuf>,
    signature_type: Option<String>,
    preset: Option<String>,
    options: Vec<(String, String)>,
    hosts: Vec<(String, Destination)>,
    backlog: Option<usize>,
    open_timeout: Option<f64>,
    connect_timeout: Option<f64>,
    lookup_timeout: Option<f64>,
    linger: Option<f64>,
    verify: bool,
}

impl Options {
    fn apply(self, mut builder: SessionBuilder) -> PyResult<SessionBuilder> {
        if let Some(preset) = &self.preset {
            builder = builder.preset(preset.parse().map_err(Failure::bad_input)?);
        }
        for (key, value) in &self.options {
            builder = builder.option(key, value);
        }
        if let Some(kind) = &self.signature_type {
            builder = builder.signature_type(parse_type(kind)?);
        }
        if let Some(keys) = &self.keys {
            builder = builder.keys(keys.get().inner().clone());
        } else if let Some(path) = self.key_file {
            builder = builder.key_file(path);
        }
        let hosts = self.hosts.into_iter();
        builder = builder.hosts(hosts.map(|(name, to)| (name, to.inner().clone())));
        if let Some(backlog) = self.backlog {
            builder = builder.backlog(backlog);
        }
        if let Some(limit) = self.open_timeout {
            builder = builder.open_timeout(seconds_to_duration(limit)?);
        }
        if let Some(limit) = self.connect_timeout {
            builder = builder.connect_timeout(seconds_to_duration(limit)?);
        }
        if let Some(limit) = self.lookup_timeout {
            builder = builder.lookup_timeout(seconds_to_duration(limit)?);
        }
        if let Some(limit) = self.linger {
            builder = builder.linger(seconds_to_duration(limit)?);
        }
        Ok(builder.verify(self.verify))
    }
}

/// Opens a session. With `wait`, the operation ends when the session is ready.
#[pyfunction]
pub(crate) fn open_session(
    router: &Router,
    options: Bound<'_, PyAny>,
    wait: bool,
    done: Py<PyAny>,
) -> PyResult<Operation> {
    let options: Options = options.extract()?;
    let builder = options.apply(router.inner()?.session())?;
    let work = async move {
        let session = match wait {
            true => builder.open().await,
            false => builder.start(),
        };
        let inner = Owned::new(session.map_err(Failure::of)?);
        Ok(Session { inner })
    };
    Ok(Runtime::of_process()?.spawn(done, work, object))
}

/// Accepts streams on a port of a session.
#[pyclass(frozen, module = "eepkit._native")]
pub(crate) struct Listener {
    #[pyo3(get)]
    port: u16,
    inner: Closable<Arc<eepkit::Listener>>,
}

#[pymethods]
impl Listener {
    /// The result is the next stream, or `None` after the listener or the session was closed.
    fn accept(&self, done: Py<PyAny>) -> PyResult<Operation> {
        let listener = self.inner.get()?;
        let work = async move {
            let Some((listener, closed)) = listener else {
                return Ok(None);
            };
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok(stream) => Ok(Some(Connection::carry(stream)?)),
                    Err(eepkit::AcceptError::Closed) => Ok(None),
                    Err(error) => Err(Failure::of(error)),
                },
                () = closed => Ok(None),
            }
        };
        Ok(
            Runtime::of_process()?.spawn(done, work, |py, connection| match connection {
                Some(connection) => object(py, connection),
                None => Ok(py.None()),
            }),
        )
    }

    /// Stops listening. Operations that wait end.
    fn close(&self) {
        self.inner.close();
    }
}

/// The port of transfers for measurements.
const TRANSFER_PORT: u16 = 65_000;
