//! GnuPG with a key server, over the HTTP proxy and over a client tunnel.

use std::{os::unix::fs::DirBuilderExt as _, path::Path, sync::Arc};

use eepkit_services::{
    service::{Context, Definition as _},
    tunnel::ClientTunnelConfig,
};

use crate::{Lab, Outcome, dialled_only, run::Program, same};

pub(crate) const PROGRAMS: &[&str] = &["gpg", "gpgconf", "gpg-agent", "dirmngr", "strace"];

/// The port of key servers.
const PORT: u16 = 11371;

/// A directory for keys. The daemons of GnuPG that use it end when it is dropped.
#[derive(Debug)]
struct Home(String);

impl Home {
    fn new(path: &Path) -> std::io::Result<Self> {
        std::fs::DirBuilder::new().mode(0o700).create(path)?;
        Ok(Self(path.display().to_string()))
    }

    fn gpg(&self, args: &[&str]) -> Program {
        Program::new("gpg")
            .env("GNUPGHOME", &self.0)
            .args(["--batch", "--quiet"])
            .args(args.iter().copied())
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // They also end when they notice that the directory is gone.
        let _ = std::process::Command::new("gpgconf")
            .args(["--homedir", &self.0, "--kill", "all"])
            .status();
    }
}

/// A key is sent over a client tunnel, and received over the tunnel and over the proxy.
///
/// dirmngr 2.2 resolves the name of `--keyserver` itself, also if it uses a proxy, and fails if there
/// is none. It does not resolve the host of a URL.
pub(crate) async fn key_server(lab: Arc<Lab>) -> Outcome {
    let dir = tempfile::tempdir()?;
    let home = |name: &str| Home::new(&dir.path().join(name));
    let (alice, bob, carol) = (home("a")?, home("b")?, home("c")?);
    alice
        .gpg(&["--passphrase", "", "--quick-gen-key"])
        .args(["alice@test.i2p", "ed25519", "sign", "never"])
        .output()
        .await?;
    let fingerprint = alice
        .gpg(&["--with-colons", "--list-keys"])
        .output()
        .await?
        .lines()
        .find_map(|line| {
            line.strip_prefix("fpr:")?
                .split(':')
                .nth(8)
                .map(str::to_owned)
        })
        .ok_or("gpg lists no fingerprint")?;

    let host = lab.host().await?;
    host.keep_keys(PORT)?;
    let tunnel = ClientTunnelConfig::new()
        .name("keys")
        .listen([([127, 0, 0, 1], 0).into()])
        .destination(format!("{}:{PORT}", host.name()).parse()?)
        .option("inbound.length", 1)
        .option("outbound.length", 1)
        .launch(&Context::new(lab.near()))
        .await?;
    let local = format!("hkp://{}", tunnel.tcp_addrs()[0]);
    alice
        .gpg(&["--keyserver", &local, "--send-keys", &fingerprint])
        .output()
        .await?;
    bob.gpg(&["--keyserver", &local, "--recv-keys", &fingerprint])
        .output()
        .await?;

    let proxy = format!("http-proxy={}", lab.proxy_url());
    let url = format!(
        "http://{}:{PORT}/pks/lookup?op=get&options=mr&search=0x{fingerprint}",
        host.name()
    );
    // dirmngr is a daemon. strace waits for it.
    let fetch = "gpg --batch --quiet --keyserver-options \"$1\" --fetch-keys \"$2\"; \
                 status=$?; gpgconf --kill all; exit $status";
    let (_, connections) = Program::new("sh")
        .env("GNUPGHOME", &carol.0)
        .args(["-c", fetch, "sh", &proxy, &url])
        .traced()
        .await?;
    // dirmngr looks for a running Tor.
    let tor = [([127, 0, 0, 1], 9050).into(), ([127, 0, 0, 1], 9150).into()];
    dialled_only(&connections, &[lab.proxy.tcp_addrs()[0], tor[0], tor[1]])?;
    tunnel.stop().await;

    for home in [&bob, &carol] {
        let keys = home.gpg(&["--with-colons", "--list-keys"]).output().await?;
        same("the key arrived", &keys.contains(&fingerprint), &true)?;
    }
    Ok(())
}
