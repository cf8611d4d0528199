//! Private networks of i2pd routers on loopback.

use std::{
    env, fmt, fs,
    fs::File,
    io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use eepkit_wire::Hash;
use tempfile::TempDir;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use self::config::RouterConfig;
use crate::ports::free_port;

mod config;

/// A network of i2pd routers that connect only to each other.
///
/// The routers run as child processes, store their files in a temporary directory, and listen on
/// loopback at ports that were free. Dropping the network kills them. They also end when
/// this process ends, for whatever reason.
#[derive(Debug)]
pub struct I2pdNet {
    routers: Vec<I2pdRouter>,
    // Dropped last, so that the routers have ended before their files are deleted.
    _dir: TempDir,
}

/// The number of floodfills, which are the first routers. Chosen because i2pd asks three floodfills
/// before a look-up fails, and sends a lease set to three others.
const FLOODFILLS: usize = 4;

/// How long a router may take to open its services. Measured: under 0.5 s when the machine is idle.
const SERVICES_UP: Duration = Duration::from_secs(30);

/// The number of attempts to choose ports, because another program may bind a chosen port first.
const PORT_ATTEMPTS: usize = 3;

/// The interval at which the progress of a router is checked.
const POLL: Duration = Duration::from_millis(50);

impl I2pdNet {
    /// Checks whether this machine can run such a network, without starting one.
    ///
    /// # Errors
    ///
    /// [`StartError::Missing`] with the packages to install.
    pub fn prerequisites() -> Result<(), StartError> {
        i2pd_program()?;
        find_in_path("cc")
            .ok_or_else(|| StartError::Missing("install a C compiler (cc)".to_owned()))?;
        Ok(())
    }

    /// Whether the routers are newer than 2.45.
    #[must_use]
    pub fn is_newer(&self) -> bool {
        self.routers.iter().all(|router| router.config.newer)
    }

    /// Starts `count` routers. Returns when all their services accept connections, which takes a
    /// few seconds. Sessions become ready about 20 s later. SAM answers SESSION CREATE only then.
    ///
    /// # Errors
    ///
    /// [`StartError::Missing`] when this machine cannot run such a network.
    pub async fn start(count: usize) -> Result<Self, StartError> {
        let program = i2pd_program()?;
        let newer = is_newer(&program)?;
        let dir = TempDir::with_prefix("eepkit-i2pd-")?;
        let shim = build_shim(dir.path())?;
        let mut attempt = 1;
        loop {
            let root = dir.path().join(format!("attempt-{attempt}"));
            match start_routers(&program, &shim, &root, count, newer).await {
                Err(StartError::PortTaken) if attempt < PORT_ATTEMPTS => attempt += 1,
                Err(error) => return Err(error),
                Ok(routers) => {
                    return Ok(Self { routers, _dir: dir });
                }
            }
        }
    }

    /// The routers. The first four are floodfills.
    pub fn routers(&self) -> &[I2pdRouter] {
        &self.routers
    }
}

/// Starts the routers once to create their identities, distributes their router infos, and starts
/// them again.
async fn start_routers(
    program: &Path,
    shim: &Path,
    root: &Path,
    count: usize,
    newer: bool,
) -> Result<Vec<I2pdRouter>, StartError> {
    let mut ports = free_ports(count)?.into_iter();
    let mut routers = Vec::with_capacity(count);
    for index in 0..count {
        let config = RouterConfig {
            index,
            dir: root.join(index.to_string()),
            floodfill: index < FLOODFILLS,
            ports: ports.next().expect("one set of ports for each router"),
            newer,
        };
        config.write()?;
        routers.push(I2pdRouter {
            program: program.to_owned(),
            shim: shim.to_owned(),
            config,
            child: Mutex::new(None),
        });
    }
    for router in &routers {
        router.spawn()?;
    }
    for router in &routers {
        router.services_up().await?;
    }
    let mut infos = Vec::with_capacity(count);
    for router in &routers {
        router.kill();
        infos.push(fs::read(router.config.dir.join("router.info"))?);
    }
    for (index, router) in routers.iter().enumerate() {
        for (other, info) in infos.iter().enumerate() {
            if other != index {
                router.learn(info)?;
            }
        }
    }
    for router in &routers {
        router.spawn()?;
    }
    for router in &routers {
        router.services_up().await?;
    }
    Ok(routers)
}

/// One router of an [`I2pdNet`].
pub struct I2pdRouter {
    program: PathBuf,
    shim: PathBuf,
    config: RouterConfig,
    child: Mutex<Option<Child>>,
}

impl I2pdRouter {
    /// The TCP address of the router's SAM bridge.
    pub fn sam(&self) -> SocketAddr {
        local(self.config.ports.sam)
    }

    /// The UDP address at which the router's SAM bridge accepts datagrams.
    pub fn sam_udp(&self) -> SocketAddr {
        let ports = &self.config.ports;
        local(match self.config.newer {
            true => ports.sam_udp,
            // Before there was an option for it, this was the TCP port minus one.
            false => ports.sam.saturating_sub(1),
        })
    }

    /// The address of the router's I2CP.
    pub fn i2cp(&self) -> SocketAddr {
        local(self.config.ports.i2cp)
    }

    /// The address of the router's BOB.
    pub fn bob(&self) -> SocketAddr {
        local(self.config.ports.bob)
    }

    /// The address of the router's web console.
    pub fn console(&self) -> SocketAddr {
        local(self.config.ports.console)
    }

    /// The router's log since its last start.
    pub fn log(&self) -> String {
        fs::read_to_string(self.config.log()).unwrap_or_default()
    }

    /// The ID of the router's process, if it is running.
    pub fn id(&self) -> Option<u32> {
        self.child().as_ref().map(Child::id)
    }

    /// The directory of the router, with the key files of its tunnels.
    pub fn dir(&self) -> &Path {
        &self.config.dir
    }

    /// Replaces the file of tunnels, and restarts the router. SIGHUP does not suffice: i2pd 2.45 stops
    /// UDP tunnels that it has just read.
    ///
    /// # Errors
    ///
    /// If the file cannot be written, and as for [`I2pdRouter::restart`].
    pub async fn set_tunnels(&self, text: &str) -> Result<(), StartError> {
        fs::write(self.config.tunnels(), text)?;
        self.restart().await
    }

    /// Kills the router's process immediately, with SIGKILL. [`I2pdRouter::restart`] starts it
    /// again.
    pub fn kill(&self) {
        if let Some(mut child) = self.child().take() {
            // Both fail only if the process has already ended.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts the router again at the same ports, with its identity and its network database.
    ///
    /// # Errors
    ///
    /// As for [`I2pdNet::start`]; [`StartError::PortTaken`] when its ports are no longer free.
    pub async fn restart(&self) -> Result<(), StartError> {
        self.kill();
        self.spawn()?;
        self.services_up().await
    }

    fn spawn(&self) -> io::Result<()> {
        // A new log, so that it contains only lines of this start.
        File::create(self.config.log())?;
        let child = Command::new(&self.program)
            .arg(format!("--datadir={}", self.config.dir.display()))
            .arg(format!("--conf={}", self.config.path().display()))
            .arg(format!("--tunconf={}", self.config.tunnels().display()))
            .env("LD_PRELOAD", &self.shim)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(File::create(self.config.errors())?)
            .spawn()?;
        *self.child() = Some(child);
        Ok(())
    }

    /// Waits until every service of the router accepts connections.
    async fn services_up(&self) -> Result<(), StartError> {
        let deadline = Instant::now() + SERVICES_UP;
        let services = [self.console(), self.sam(), self.i2cp(), self.bob()];
        loop {
            let mut up = !fs::read(self.config.dir.join("router.info"))
                .unwrap_or_default()
                .is_empty();
            for service in services {
                up = up && matches!(timeout(POLL, TcpStream::connect(service)).await, Ok(Ok(_)));
            }
            let log = self.log();
            if log.contains("Address already in use") {
                return Err(StartError::PortTaken);
            }
            if up {
                return Ok(());
            }
            let ended = self
                .child()
                .as_mut()
                .is_none_or(|child| !matches!(child.try_wait(), Ok(None)));
            if ended || Instant::now() > deadline {
                let errors = fs::read_to_string(self.config.errors()).unwrap_or_default();
                let what = if ended {
                    "ended"
                } else {
                    "does not open its services"
                };
                return Err(StartError::Router(format!("i2pd {what}: {errors}\n{log}")));
            }
            sleep(POLL).await;
        }
    }

    /// Adds the router info of another router to this router's network database.
    fn learn(&self, info: &[u8]) -> Result<(), StartError> {
        let hash = router_hash(info)
            .ok_or_else(|| {
                StartError::Router("i2pd wrote a router info that is cut short".to_owned())
            })?
            .to_base64();
        let shelf = self
            .config
            .dir
            .join("netDb")
            .join(format!("r{}", &hash[..1]));
        fs::create_dir_all(&shelf)?;
        fs::write(shelf.join(format!("routerInfo-{hash}.dat")), info)?;
        Ok(())
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for I2pdRouter {
    fn drop(&mut self) {
        self.kill();
    }
}

impl fmt::Debug for I2pdRouter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("I2pdRouter")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// The reason why there is no network of i2pd routers.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// This machine lacks a program. The text names what to install.
    Missing(String),
    /// Another program bound a port between its choice and its use.
    PortTaken,
    /// A router failed. Contains its log.
    Router(String),
    /// The system returned an error.
    Io(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(what) => f.write_str(what),
            Self::PortTaken => f.write_str("a port was taken by someone else"),
            Self::Router(what) => f.write_str(what),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StartError {}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The identity hash of a router info: the hash of the 384 bytes of keys and the certificate.
/// `None` if the router info is truncated.
pub fn router_hash(info: &[u8]) -> Option<Hash> {
    const KEYS: usize = 384;
    const CERTIFICATE_HEADER: usize = 3;
    let length = info.get(KEYS + 1..KEYS + CERTIFICATE_HEADER)?;
    let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
    info.get(..KEYS + CERTIFICATE_HEADER + length).map(Hash::of)
}

/// Returns the i2pd of `EEPKIT_I2PD`, or else the installed one.
///
/// # Errors
///
/// [`StartError::Missing`] with the packages to install.
pub fn i2pd_program() -> Result<PathBuf, StartError> {
    if !cfg!(target_os = "linux") {
        return Err(StartError::Missing(
            "the i2pd network needs Linux".to_owned(),
        ));
    }
    if let Some(path) = env::var_os("EEPKIT_I2PD") {
        let path = PathBuf::from(path);
        return if path.is_file() {
            Ok(path)
        } else {
            Err(StartError::Missing(format!(
                "EEPKIT_I2PD names no file: {}",
                path.display()
            )))
        };
    }
    find_in_path("i2pd")
        .ok_or_else(|| StartError::Missing("install Debian's i2pd, or set EEPKIT_I2PD".to_owned()))
}

fn find_in_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        // Debian's directory for i2pd, which may not be in the path.
        .chain(["/usr/sbin".into()])
        .map(|dir| dir.join(program))
        .find(|candidate| candidate.is_file())
}

/// Whether this i2pd is newer than 2.45, after which some options were added or changed. An unknown
/// option ends i2pd.
fn is_newer(program: &Path) -> Result<bool, StartError> {
    let output = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text
        .split_whitespace()
        .skip_while(|word| *word != "version")
        .nth(1)
        .and_then(|version| version.split_once('.'))
        .and_then(|(major, rest)| {
            Some((major.parse().ok()?, rest.split('.').next()?.parse().ok()?))
        });
    let version: (u32, u32) =
        version.ok_or_else(|| StartError::Router(format!("no version of i2pd in {text:?}")))?;
    Ok(version > (2, 45))
}

/// Compiles `loopback.c`. The compiler driver `cc` exists wherever Rust can link a program.
fn build_shim(dir: &Path) -> Result<PathBuf, StartError> {
    let source = dir.join("loopback.c");
    let library = dir.join("loopback.so");
    fs::write(&source, include_str!("i2pd/loopback.c"))?;
    let output = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-pthread", "-o"])
        .args([&library, &source])
        .arg("-ldl")
        .output()
        .map_err(|error| StartError::Missing(format!("install a C compiler: cc: {error}")))?;
    if output.status.success() {
        Ok(library)
    } else {
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(StartError::Missing(format!(
            "cc cannot build a library: {errors}"
        )))
    }
}

/// Chooses ports for `count` routers.
fn free_ports(count: usize) -> io::Result<Vec<config::Ports>> {
    (0..count)
        .map(|index| {
            Ok(config::Ports {
                ntcp2: free_port(config::real_address(index))?,
                console: free_port(Ipv4Addr::LOCALHOST)?,
                sam: free_port(Ipv4Addr::LOCALHOST)?,
                i2cp: free_port(Ipv4Addr::LOCALHOST)?,
                bob: free_port(Ipv4Addr::LOCALHOST)?,
                sam_udp: free_port(Ipv4Addr::LOCALHOST)?,
            })
        })
        .collect()
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}
