//! Our proxy and tunnels, in this process or in a separate one. The memory and processor time of a
//! separate process can be measured.

use std::{
    env, io,
    net::{Ipv4Addr, SocketAddr},
    process::Stdio,
};

use eepkit::Router;
use eepkit_bench_common::{Outcome, Tunnels};
use eepkit_services::{
    http_proxy::HttpProxyConfig,
    service::{Context, Definition as _},
    tunnel::{ClientTunnel, ClientTunnelConfig, ServerTunnel, ServerTunnelConfig, Target},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    process::{Child, Command},
};

/// Where programs connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Addresses {
    pub(crate) proxy: SocketAddr,
    /// The client tunnel to the server tunnel.
    pub(crate) tunnel: SocketAddr,
}

/// A proxy and a client tunnel on one router, and a server tunnel on another.
pub(crate) struct Services {
    proxy: eepkit_services::http_proxy::HttpProxy,
    client: ClientTunnel,
    _server: ServerTunnel,
}

/// Above the number of connections in every measurement.
const MAX_CONNECTIONS: usize = 50_000;

impl Services {
    pub(crate) async fn start(
        [client, server]: &[Context; 2],
        target: SocketAddr,
        tunnels: Tunnels,
    ) -> Outcome<Self> {
        let any = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0))];
        let mut for_server = ServerTunnelConfig::new()
            .target(Target::Tcp(target))
            .max_streams(MAX_CONNECTIONS, MAX_CONNECTIONS);
        let mut for_proxy = HttpProxyConfig::new().listen(any);
        for (key, value) in tunnels.to_options() {
            for_server = for_server.option(key, &value);
            for_proxy = for_proxy.option(key, &value);
        }
        let server = for_server.launch(server).await?;
        let address = server.destination().to_b32().parse()?;
        let mut for_client = ClientTunnelConfig::new()
            .listen(any)
            .destination(address)
            .max_connections(MAX_CONNECTIONS);
        for (key, value) in tunnels.to_options() {
            for_client = for_client.option(key, &value);
        }
        Ok(Self {
            proxy: for_proxy.launch(client).await?,
            client: for_client.launch(client).await?,
            _server: server,
        })
    }

    pub(crate) fn addresses(&self) -> Addresses {
        Addresses {
            proxy: self.proxy.tcp_addrs()[0],
            tunnel: self.client.tcp_addrs()[0],
        }
    }
}

/// Services in a separate process. Dropping this ends the process.
pub(crate) struct ServicesProcess {
    child: Child,
    pub(crate) addresses: Addresses,
}

impl ServicesProcess {
    /// Starts them on these routers, `i2cp://` addresses.
    pub(crate) async fn start(
        routers: &[String; 2],
        target: SocketAddr,
        hops: u8,
    ) -> Outcome<Self> {
        let mut command = Command::new(env::current_exe()?);
        command.arg("services").args(routers);
        command.args([target.to_string(), hops.to_string()]);
        let mut child = piped(command)?;
        let line = first_line(&mut child).await?;
        let (proxy, tunnel) = line
            .split_once(' ')
            .ok_or("the services did not report two addresses")?;
        let addresses = Addresses {
            proxy: proxy.parse()?,
            tunnel: tunnel.parse()?,
        };
        Ok(Self { child, addresses })
    }

    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }
}

/// Starts a process that ends with this one.
pub(crate) fn piped(mut command: Command) -> Outcome<Child> {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    Ok(command.kill_on_drop(true).spawn()?)
}

/// The first line that a process prints.
pub(crate) async fn first_line(child: &mut Child) -> Outcome<String> {
    let stdout = child.stdout.take().ok_or("its output is piped")?;
    let line = BufReader::new(stdout).lines().next_line().await?;
    Ok(line.ok_or("the process ended")?)
}

/// Prints a line for [`first_line`], and returns at the end of standard input.
pub(crate) async fn serve_until_end(line: &str) -> Outcome<()> {
    let mut stdout = io::stdout();
    io::Write::write_all(&mut stdout, format!("{line}\n").as_bytes())?;
    io::Write::flush(&mut stdout)?;
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    Ok(())
}

/// The main function of [`ServicesProcess`].
pub(crate) async fn serve(
    [client, server]: [String; 2],
    target: SocketAddr,
    hops: u8,
) -> Outcome<()> {
    let contexts = [
        Context::new(Router::attach(&client)?),
        Context::new(Router::attach(&server)?),
    ];
    let services = Services::start(&contexts, target, Tunnels { hops }).await?;
    let Addresses { proxy, tunnel } = services.addresses();
    serve_until_end(&format!("{proxy} {tunnel}")).await
}
