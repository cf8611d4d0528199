//! `eepkit http-proxy`, `eepkit socks-proxy`, `eepkit tunnel` and `eepkit bob`.

use eepkit_services::{plan, service::Definition};

use super::run::{self, Source};
use crate::{
    args::{
        BobArgs, CONTROL, HttpProxyArgs, NAMES, RouterArgs, ServiceArgs, SocksProxyArgs,
        TunnelArgs, TunnelCommand,
    },
    config::Config,
    failure::Failure,
    ui::Ui,
};

pub(super) async fn http(args: HttpProxyArgs, ui: &Ui) -> Result<(), Failure> {
    serve(args.proxy, args.router, args.json, ui).await
}

pub(super) async fn socks(args: SocksProxyArgs, ui: &Ui) -> Result<(), Failure> {
    serve(args.proxy, args.router, args.json, ui).await
}

pub(super) async fn bob(args: BobArgs, ui: &Ui) -> Result<(), Failure> {
    serve(args.bob, args.router, args.json, ui).await
}

pub(super) async fn tunnel(args: TunnelArgs, ui: &Ui) -> Result<(), Failure> {
    match args.command {
        TunnelCommand::Client(of) => serve(of.tunnel, of.router, of.json, ui).await,
        TunnelCommand::Server(of) => serve(of.tunnel, of.router, of.json, ui).await,
        TunnelCommand::HttpServer(of) => serve(of.tunnel, of.router, of.json, ui).await,
        TunnelCommand::Http(args) => http(args, ui).await,
        TunnelCommand::Connect(args) => {
            let config = args.proxy.into_config().connect_only(true);
            serve_config(config, args.router, args.json, ui).await
        }
        TunnelCommand::Socks(args) => socks(args, ui).await,
        TunnelCommand::Irc(of) => serve(of.tunnel, of.router, of.json, ui).await,
        TunnelCommand::IrcServer(of) => serve(of.tunnel, of.router, of.json, ui).await,
        TunnelCommand::Udp(of) => serve(of.tunnel, of.router, of.json, ui).await,
        TunnelCommand::UdpServer(of) => serve(of.tunnel, of.router, of.json, ui).await,
        TunnelCommand::Streamr(of) => serve(of.tunnel, of.router, of.json, ui).await,
        TunnelCommand::StreamrServer(of) => serve(of.tunnel, of.router, of.json, ui).await,
    }
}

async fn serve<D: Definition>(
    proxy: ServiceArgs<D>,
    router: RouterArgs,
    json: bool,
    ui: &Ui,
) -> Result<(), Failure> {
    serve_config(proxy.into_config(), router, json, ui).await
}

async fn serve_config<D: Definition>(
    config: D,
    router: RouterArgs,
    json: bool,
    ui: &Ui,
) -> Result<(), Failure> {
    let wrong = |why: String| Failure::usage(D::table().mistake(&why));
    config.validate().map_err(wrong)?;
    let config = Config {
        router,
        control: (CONTROL.defaults)(),
        names: (NAMES.defaults)(),
        services: vec![plan(D::KIND, config)],
    };
    run::serve(config, Source::Arguments, None, json, ui).await
}
