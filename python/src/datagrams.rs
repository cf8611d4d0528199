//! Datagrams of all formats.

use eepkit::{Datagram, DatagramOptions, ErrorKind, Format};
use pyo3::{prelude::*, types::PyBytes};

use crate::{
    failure::Failure,
    keys::Destination,
    runtime::{Closable, Operation, Runtime, nothing, object, optional_seconds},
    session::To,
};

/// Sends and receives datagrams of one format.
#[pyclass(frozen, module = "eepkit._native")]
pub(crate) struct DatagramSocket {
    inner: Closable<eepkit::DatagramSocket>,
    #[pyo3(get)]
    port: u16,
    #[pyo3(get)]
    protocol: u8,
    #[pyo3(get)]
    max_payload: usize,
    #[pyo3(get)]
    format: String,
}

/// A received datagram. Of `sender` and `claimed_sender`, at most one is set.
#[pyclass(frozen, get_all, module = "eepkit._native")]
pub(crate) struct Received {
    payload: Py<PyBytes>,
    /// Proven by a signature.
    sender: Option<Destination>,
    /// The address of the hash that the datagram contains without any proof.
    claimed_sender: Option<String>,
    from_port: u16,
    to_port: u16,
    protocol: u8,
}

pub(crate) fn bind(
    session: &eepkit::Session,
    format: &str,
    port: u16,
    protocol: Option<u8>,
    queue: Option<usize>,
) -> PyResult<DatagramSocket> {
    let name = format;
    let format = match format {
        "raw" => Format::Raw,
        "datagram1" => Format::Datagram1,
        "datagram2" => Format::Datagram2,
        "datagram3" => Format::Datagram3,
        other => {
            let text = format!(
                "{other:?} is not a format: use \"raw\", \"datagram1\", \"datagram2\" or \"datagram3\""
            );
            return Err(Failure::bad_input(text).into());
        }
    };
    let mut builder = session.datagrams(format);
    if let Some(protocol) = protocol {
        builder = builder.protocol(protocol);
    }
    if let Some(queue) = queue {
        builder = builder.queue(queue);
    }
    let socket = builder.bind(port).map_err(Failure::of)?;
    Ok(DatagramSocket {
        port: socket.port(),
        protocol: socket.protocol(),
        max_payload: socket.max_payload_len(),
        format: name.to_owned(),
        inner: Closable::new(socket),
    })
}

fn closed() -> Failure {
    Failure::new(ErrorKind::Closed, "the datagram socket was closed")
}

#[pymethods]
impl DatagramSocket {
    #[pyo3(signature = (payload, to, port, from_port, protocol, seconds, done))]
    #[expect(
        clippy::too_many_arguments,
        reason = "called from one place, in Python"
    )]
    fn send(
        &self,
        payload: Vec<u8>,
        to: To,
        port: Option<u16>,
        from_port: Option<u16>,
        protocol: Option<u8>,
        seconds: Option<f64>,
        done: Py<PyAny>,
    ) -> PyResult<Operation> {
        let (socket, _) = self.inner.get()?.ok_or_else(closed)?;
        let address = to.address(port)?;
        let mut options = DatagramOptions::new();
        if let Some(port) = from_port {
            options = options.from_port(port);
        }
        if let Some(protocol) = protocol {
            options = options.protocol(protocol);
        }
        if let Some(limit) = optional_seconds(seconds)? {
            options = options.timeout(limit);
        }
        let work = async move {
            let sent = socket.send_with(&payload, address, &options).await;
            sent.map_err(Failure::of)
        };
        Ok(Runtime::of_process()?.spawn(done, work, nothing))
    }

    fn receive(&self, done: Py<PyAny>) -> PyResult<Operation> {
        let (socket, over) = self.inner.get()?.ok_or_else(closed)?;
        let work = async move {
            tokio::select! {
                received = socket.recv_from() => received.map_err(Failure::of),
                () = over => Err(closed()),
            }
        };
        Ok(Runtime::of_process()?.spawn(done, work, |py, datagram| {
            let claimed = match datagram.datagram() {
                Datagram::Claimed(claimed) => Some(claimed.claimed_sender().hash().to_b32()),
                _ => None,
            };
            object(
                py,
                Received {
                    payload: PyBytes::new(py, datagram.payload()).unbind(),
                    sender: datagram.sender().cloned().map(Destination::from),
                    claimed_sender: claimed,
                    from_port: datagram.from_port(),
                    to_port: datagram.to_port(),
                    protocol: datagram.protocol(),
                },
            )
        }))
    }

    /// Unbinds the port. Operations that wait fail.
    fn close(&self) {
        self.inner.close();
    }
}
