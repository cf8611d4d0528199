//! Destinations and their private keys.

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash as _, Hasher as _},
    path::PathBuf,
};

use eepkit::{SignatureType, clock};
use pyo3::{prelude::*, types::PyBytes};
use rand::rngs::StdRng;

use crate::failure::Failure;

/// The public keys by which a program is addressed.
#[pyclass(frozen, eq, from_py_object, module = "eepkit._native")]
#[derive(Clone, PartialEq)]
pub(crate) struct Destination {
    inner: eepkit::Destination,
}

impl From<eepkit::Destination> for Destination {
    fn from(inner: eepkit::Destination) -> Self {
        Self { inner }
    }
}

impl Destination {
    pub(crate) fn inner(&self) -> &eepkit::Destination {
        &self.inner
    }
}

#[pymethods]
impl Destination {
    /// Parses the base64 text.
    #[new]
    fn new(base64: &str) -> PyResult<Self> {
        let inner = eepkit::Destination::from_base64(base64.trim()).map_err(Failure::bad_input)?;
        Ok(Self { inner })
    }

    #[getter]
    fn base64(&self) -> String {
        self.inner.to_base64()
    }

    #[getter]
    fn b32(&self) -> String {
        self.inner.to_b32()
    }

    #[getter]
    fn hash<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.inner.hash().as_ref())
    }

    #[getter]
    fn signature_type(&self) -> String {
        self.inner.signature_type().to_string()
    }

    fn __bytes__<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.inner.as_bytes())
    }

    fn __str__(&self) -> String {
        self.inner.to_b32()
    }

    fn __repr__(&self) -> String {
        format!("<Destination {}>", self.inner.to_b32())
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.inner.hash().hash(&mut hasher);
        hasher.finish()
    }
}

/// The private keys of a destination. Its representation has no secrets.
#[pyclass(frozen, module = "eepkit._native")]
pub(crate) struct PrivateKeys {
    inner: eepkit::PrivateKeys,
}

impl From<eepkit::PrivateKeys> for PrivateKeys {
    fn from(inner: eepkit::PrivateKeys) -> Self {
        Self { inner }
    }
}

impl PrivateKeys {
    pub(crate) fn inner(&self) -> &eepkit::PrivateKeys {
        &self.inner
    }
}

#[pymethods]
impl PrivateKeys {
    /// Generates a new destination. Needs no router.
    #[staticmethod]
    #[pyo3(signature = (signature_type = "7"))]
    fn generate(signature_type: &str) -> PyResult<Self> {
        let kind = parse_type(signature_type)?;
        let mut rng: StdRng = rand::make_rng();
        let inner = eepkit::PrivateKeys::generate(kind, &mut rng).map_err(Failure::bad_input)?;
        Ok(Self { inner })
    }

    /// Reads a key file, in binary form or in base64.
    #[staticmethod]
    fn load(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let loaded = py.detach(|| eepkit::PrivateKeys::load(&path));
        let inner = loaded.map_err(|error| Failure::key_file(&error))?;
        Ok(Self { inner })
    }

    /// Reads a key file, or writes a new one.
    #[staticmethod]
    #[pyo3(signature = (path, signature_type = "7"))]
    fn load_or_create(py: Python<'_>, path: PathBuf, signature_type: &str) -> PyResult<Self> {
        let kind = parse_type(signature_type)?;
        let mut rng: StdRng = rand::make_rng();
        let loaded = py.detach(|| eepkit::PrivateKeys::load_or_create(&path, kind, &mut rng));
        let (inner, _) = loaded.map_err(|error| Failure::key_file(&error))?;
        Ok(Self { inner })
    }

    #[staticmethod]
    fn from_bytes(data: &[u8]) -> PyResult<Self> {
        let inner = eepkit::PrivateKeys::from_bytes(data).map_err(Failure::bad_input)?;
        Ok(Self { inner })
    }

    #[staticmethod]
    fn from_base64(text: &str) -> PyResult<Self> {
        let inner = eepkit::PrivateKeys::from_base64(text.trim()).map_err(Failure::bad_input)?;
        Ok(Self { inner })
    }

    #[getter]
    fn destination(&self) -> Destination {
        Destination::from(self.inner.destination().clone())
    }

    #[getter]
    fn signature_type(&self) -> String {
        self.inner.signature_type().to_string()
    }

    /// When the transient key expires, in seconds since the epoch. `None` if the keys are not
    /// offline keys.
    #[getter]
    fn expires(&self) -> Option<u32> {
        Some(self.inner.offline()?.expires())
    }

    fn to_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.inner.to_bytes())
    }

    fn to_base64(&self) -> String {
        self.inner.to_base64().to_string()
    }

    /// Writes a key file. Refuses to replace one, unless `replace` is set.
    #[pyo3(signature = (path, *, replace = false))]
    fn save(&self, py: Python<'_>, path: PathBuf, replace: bool) -> PyResult<()> {
        let saved = py.detach(|| match replace {
            true => self.inner.save(&path),
            false => self.inner.create(&path),
        });
        saved.map_err(|error| Failure::key_file(&error).into())
    }

    /// Keys with a new transient key, which signs for the destination for so many seconds.
    #[pyo3(signature = (valid_for, signature_type = "7"))]
    fn offline(&self, valid_for: f64, signature_type: &str) -> PyResult<Self> {
        let kind = parse_type(signature_type)?;
        let valid_for = crate::runtime::seconds_to_duration(valid_for)?;
        let expires = u32::try_from(clock::unix_now().saturating_add(valid_for).as_secs())
            .map_err(|_| {
                Failure::bad_input("the transient key would expire after the year 2106")
            })?;
        let mut rng: StdRng = rand::make_rng();
        let inner = self.inner.with_transient(expires, kind, &mut rng);
        let inner = inner.map_err(Failure::bad_input)?;
        Ok(Self { inner })
    }

    fn __repr__(&self) -> String {
        format!("<PrivateKeys of {}>", self.inner.destination().to_b32())
    }
}

pub(crate) fn parse_type(text: &str) -> PyResult<SignatureType> {
    text.parse()
        .map_err(|error| Failure::bad_input(format!("signature type {text:?}: {error}")).into())
}
