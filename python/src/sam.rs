//! SAM bridges: for programs that use SAM, and for `eepkit.i2plib` in this process.

use std::{net::SocketAddr, os::fd::IntoRawFd as _, sync::Arc};

use eepkit::ErrorKind;
use eepkit_services::sam::SamConfig;
use pyo3::prelude::*;

use crate::{
    failure::Failure,
    router::Router,
    runtime::{Operation, Owned, Runtime, nothing, object},
};

/// A running bridge.
#[pyclass(frozen, module = "eepkit._native")]
pub(crate) struct SamBridge {
    inner: Owned<Arc<eepkit_services::sam::SamBridge>>,
}

#[pymethods]
impl SamBridge {
    /// The TCP addresses.
    #[getter]
    fn addresses(&self) -> PyResult<Vec<(String, u16)>> {
        Ok(self
            .inner
            .get()?
            .tcp_addrs()
            .iter()
            .map(|address| (address.ip().to_string(), address.port()))
            .collect())
    }

    /// A connected descriptor, which the caller must close.
    fn connect(&self) -> PyResult<i32> {
        let bridge = self.inner.get()?;
        let _context = Runtime::of_process()?.enter();
        let socket = bridge.connect().map_err(Failure::io)?;
        Ok(socket.into_raw_fd())
    }

    fn stop(&self, done: Py<PyAny>) -> PyResult<Operation> {
        let bridge = self.inner.get()?.clone();
        let work = async move {
            bridge.stop().await;
            Ok(())
        };
        Ok(Runtime::of_process()?.spawn(done, work, nothing))
    }
}

/// Starts a bridge on a TCP address, and without one only for this process. `options` are the
/// options of every session whose client does not set them.
#[pyfunction]
pub(crate) fn sam_bridge(
    router: &Router,
    address: Option<&str>,
    options: Vec<(String, String)>,
    done: Py<PyAny>,
) -> PyResult<Operation> {
    let mut config = match address {
        None => SamConfig::new().in_process(),
        Some(address) => {
            let address: SocketAddr = address.parse().map_err(|_| {
                let text = format!("{address:?} is not an IP address with a port");
                Failure::bad_input(text)
            })?;
            SamConfig::new().listen(address).without_udp()
        }
    };
    for (key, value) in options {
        config = config.default_option(&key, value);
    }
    let router = router.inner()?;
    let work = async move {
        let bridge = eepkit_services::sam::SamBridge::start(router, config).await;
        let bridge = bridge.map_err(|error| Failure::new(ErrorKind::AddressInUse, error))?;
        Ok(SamBridge {
            inner: Owned::new(Arc::new(bridge)),
        })
    };
    Ok(Runtime::of_process()?.spawn(done, work, object))
}
