//! Reseeding: how a router gets its first router infos.
//!
//! A router that has no router infos downloads a signed list of them from a reseed host. It
//! requests the list over HTTPS from several hosts that are run by different people. TLS hides the
//! list from observers. The signature (see [`Su3Error`]) protects it even from the provider of the
//! host. No other part of the library resolves names on the Internet.

mod https;
mod signers;
pub(crate) mod su3;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fmt, io,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use eepkit_link::clock;
use eepkit_wire::{Codec, Hash, RouterInfo};
use rand::seq::SliceRandom;
use tokio::{
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};
use tokio_rustls::rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

pub use self::{https::FetchError, signers::SignerError, su3::Su3Error};
use signers::Signers;

/// The public reseed hosts that Java I2P and i2pd list and whose TLS certificate is signed by a
/// public authority.
pub const DEFAULT_HOSTS: &[&str] = &[
    "https://reseed2.i2p.net/",
    "https://reseed.diva.exchange/",
    "https://reseed-fr.i2pd.xyz/",
    "https://reseed-pl.i2pd.xyz/",
    "https://reseed.onion.im/",
    "https://reseed.i2pgit.org/",
    "https://reseed.stormycloud.org/",
    "https://coconut.incognet.io/",
    "https://banana.incognet.io/",
    "https://www2.mk16.de/",
    "https://i2p.novg.net/",
];

/// The number of lists after which the search ends. Chosen so that no single host determines all
/// routers that the router has at first.
const ENOUGH_HOSTS: usize = 2;

/// The number of simultaneous requests to hosts. Chosen because one of three hosts usually answers,
/// and requests to all of them would be needless load.
const AT_ONCE: usize = 3;

/// How long the download from one host may take. Chosen because a list has about 100 kB, and a
/// slower host would delay the others.
const HOST_DEADLINE: Duration = Duration::from_secs(10);

/// The default deadline of the search. Chosen so that a program without a connection to the
/// Internet reports an error while its user still waits.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(25);

/// The maximum number of hosts. Chosen because the error message names each of them.
const MAX_HOSTS: usize = 50;

/// The source of a router's first router infos.
#[derive(Debug, Clone)]
#[must_use]
pub struct Reseed {
    source: Source,
    roots: Vec<CertificateDer<'static>>,
    signers: Vec<String>,
    deadline: Duration,
}

#[derive(Debug, Clone)]
enum Source {
    Hosts(Vec<String>),
    File(PathBuf),
    Nowhere,
}

impl Default for Reseed {
    /// [`Reseed::hosts`] with [`DEFAULT_HOSTS`].
    fn default() -> Self {
        Self::hosts(DEFAULT_HOSTS.iter().copied())
    }
}

impl Reseed {
    /// Reseeds from these hosts, each an `https://` URL below which `i2pseeds.su3` is found.
    pub fn hosts(hosts: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self::new(Source::Hosts(hosts.into_iter().map(Into::into).collect()))
    }

    /// Reseeds from a file (`i2pseeds.su3`) that was obtained in another way. Its signature is
    /// verified too.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::new(Source::File(path.into()))
    }

    /// Never reseeds. The router must have router infos from earlier runs.
    pub fn never() -> Self {
        Self::new(Source::Nowhere)
    }

    fn new(source: Source) -> Self {
        let (roots, signers) = (Vec::new(), Vec::new());
        Self {
            source,
            roots,
            signers,
            deadline: DEFAULT_DEADLINE,
        }
    }

    /// Also accepts hosts whose TLS certificates this authority (PEM) signed. Default: the
    /// authorities in Mozilla's list.
    pub fn trust_root(mut self, pem: &str) -> Result<Self, SignerError> {
        let root = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| SignerError::PEM)?;
        self.roots.push(root);
        Ok(self)
    }

    /// Also accepts lists signed with this certificate (PEM, RSA with 4096 bits), for a network
    /// with its own reseed hosts. Default: the signers that Java I2P and i2pd trust.
    pub fn trust_signer(mut self, pem: &str) -> Result<Self, SignerError> {
        Signers::default().add(pem, clock::unix_now())?;
        self.signers.push(pem.to_owned());
        Ok(self)
    }

    /// The deadline of the search. When it passes, the search returns the router infos found so
    /// far, or an error if there are none. Default: 25 s.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Downloads router infos of the network with this identifier. Returns only valid ones, and at
    /// most one for each router.
    ///
    /// Cancel safe: dropping the future closes the connections.
    pub async fn run(&self, network_id: u8) -> Result<Vec<Vec<u8>>, ReseedError> {
        let now = clock::unix_now();
        let mut signers = Signers::built_in(now);
        for signer in &self.signers {
            // The certificate was valid when it was added, and may have expired since.
            if let Err(error) = signers.add(signer, now) {
                tracing::warn!(%error, "a reseed signer is not used");
            }
        }
        match &self.source {
            Source::Nowhere => Err(ReseedError::Never),
            Source::File(path) => read_list(path, &signers, network_id).await,
            Source::Hosts(hosts) => self.ask_hosts(hosts, &signers, network_id).await,
        }
    }

    async fn ask_hosts(
        &self,
        hosts: &[String],
        signers: &Signers,
        network_id: u8,
    ) -> Result<Vec<Vec<u8>>, ReseedError> {
        let mut roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        roots.add_parsable_certificates(self.roots.iter().cloned());
        let client = https::Client::new(roots)
            .map_err(|error| ReseedError::Hosts(HostFailures::all(&error.to_string())))?;

        let mut hosts: Vec<&String> = hosts.iter().take(MAX_HOSTS).collect();
        hosts.shuffle(&mut rand::rng());
        let mut hosts = hosts.into_iter();
        let mut downloads = JoinSet::new();
        let mut failures = HostFailures::default();
        let mut routers = BTreeMap::new();
        let mut answered = 0;
        let end = Instant::now() + self.deadline;
        loop {
            while downloads.len() < AT_ONCE
                && let Some(host) = hosts.next()
            {
                downloads.spawn(download(client.clone(), host.clone(), network_id));
            }
            let (host, result) = match timeout_at(end, downloads.join_next()).await {
                Err(_) => {
                    failures.overall = Some(self.deadline);
                    break;
                }
                Ok(None) => break,
                Ok(Some(Err(_))) => continue,
                Ok(Some(Ok(download))) => download,
            };
            match result.and_then(|file| Ok(open(&file, signers, network_id)?)) {
                Ok(found) => {
                    tracing::info!(%host, routers = found.len(), "got a list of routers");
                    routers.extend(found);
                    answered += 1;
                }
                Err(error) => {
                    tracing::info!(%host, %error, "a reseed host gave no list of routers");
                    failures.hosts.push((host, error));
                }
            }
            if answered >= ENOUGH_HOSTS {
                break;
            }
        }
        if routers.is_empty() {
            return Err(ReseedError::Hosts(failures));
        }
        Ok(routers.into_values().collect())
    }
}

async fn download(
    client: https::Client,
    host: String,
    network_id: u8,
) -> (String, Result<Bytes, ReseedHostError>) {
    let url = format!(
        "{}/i2pseeds.su3?netid={network_id}",
        host.trim_end_matches('/')
    );
    let answer = timeout(HOST_DEADLINE, client.get(&url, su3::MAX_FILE)).await;
    let answer = answer.unwrap_or(Err(FetchError::Timeout));
    (host, answer.map_err(ReseedHostError::Fetch))
}

async fn read_list(
    path: &Path,
    signers: &Signers,
    network_id: u8,
) -> Result<Vec<Vec<u8>>, ReseedError> {
    let name = path.display().to_string();
    let path = path.to_owned();
    let read = move || eepkit_files::read(&path, su3::MAX_FILE);
    let read = tokio::task::spawn_blocking(read).await;
    let file = match read.unwrap_or_else(|panic| Err(io::Error::other(panic))) {
        Ok(file) => file,
        Err(source) => return Err(ReseedError::Unreadable { path: name, source }),
    };
    match open(&file, signers, network_id) {
        Ok(routers) => Ok(routers.into_values().collect()),
        Err(why) => Err(ReseedError::File { path: name, why }),
    }
}

/// Returns the valid router infos of this network in a list, by the hash of the router.
fn open(
    file: &[u8],
    signers: &Signers,
    network_id: u8,
) -> Result<BTreeMap<Hash, Vec<u8>>, ListError> {
    let bundle = su3::open(file, signers)?;
    let routers: BTreeMap<_, _> = bundle
        .routers
        .into_iter()
        .filter_map(|bytes| {
            let info = RouterInfo::from_bytes(&bytes).ok()?;
            let is_usable = info.network_id() == Some(network_id) && info.verify().is_ok();
            is_usable.then(|| (info.hash(), bytes))
        })
        .collect();
    if routers.is_empty() {
        return Err(ListError::Empty {
            signer: bundle.signer,
            network_id,
        });
    }
    Ok(routers)
}

/// The reason why a list of routers cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// The file was rejected.
    #[error(transparent)]
    Su3(#[from] Su3Error),
    /// The list has no router of this network.
    #[error("the list of {signer} has no router of network {network_id}")]
    Empty {
        /// The signer of the list.
        signer: String,
        /// The network's identifier.
        network_id: u8,
    },
}

/// The reason why one reseed host returned no routers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReseedHostError {
    /// The download failed.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The downloaded list cannot be used.
    #[error(transparent)]
    List(#[from] ListError),
}

/// The reason why reseeding failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReseedError {
    /// No host returned a usable list.
    #[error(
        "the router knows no other routers, and no list of them could be downloaded: {0}. Check \
         the connection to the Internet and the system's clock; without one, give the router a \
         reseed file (i2pseeds.su3), or use a router that runs elsewhere"
    )]
    Hosts(HostFailures),
    /// The file cannot be read.
    #[error("cannot read the reseed file {path}: {source}")]
    Unreadable {
        /// The file.
        path: String,
        /// The error that the system reported.
        #[source]
        source: io::Error,
    },
    /// The file cannot be used.
    #[error("cannot use the reseed file {path}: {why}")]
    File {
        /// The file.
        path: String,
        /// What is wrong with it.
        #[source]
        why: ListError,
    },
    /// Reseeding is turned off, and the router has no router infos.
    #[error("the router knows no other routers, and reseeding is switched off")]
    Never,
}

/// The errors of the reseed hosts.
#[derive(Debug, Default)]
pub struct HostFailures {
    hosts: Vec<(String, ReseedHostError)>,
    overall: Option<Duration>,
    general: Option<String>,
}

impl HostFailures {
    fn all(why: &str) -> Self {
        Self {
            general: Some(why.to_owned()),
            ..Self::default()
        }
    }

    /// Iterates over the hosts that were tried, each with its error.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &ReseedHostError)> {
        self.hosts
            .iter()
            .map(|(host, error)| (host.as_str(), error))
    }
}

impl fmt::Display for HostFailures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut reasons: Vec<String> = self
            .hosts
            .iter()
            .map(|(host, error)| format!("{host} ({error})"))
            .collect();
        reasons.sort();
        reasons.extend(self.general.clone());
        reasons.extend(
            self.overall
                .map(|time| format!("no other host answered within {time:?}")),
        );
        if reasons.is_empty() {
            reasons.push("no reseed hosts are configured".to_owned());
        }
        f.write_str(&reasons.join("; "))
    }
}
