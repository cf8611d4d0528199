//! `eepkit connect`: a stream to a destination, connected to standard input and output, or
//! datagrams.

use eepkit::ConnectOptions;

use super::{
    datagrams, keys,
    listen::join_stdio,
    online::{self, Online},
};
use crate::{
    args::ConnectArgs,
    failure::Failure,
    stop::Stop,
    ui::{STRONG, Ui},
};

pub(super) async fn run(args: ConnectArgs, ui: &Ui) -> Result<(), Failure> {
    let mut stop = Stop::new()?;
    let peer = online::address(&args.peer)?;
    let keys = args
        .keys
        .as_deref()
        .map(|file| keys::load(file, ui))
        .transpose()?;
    let online = stop
        .or(Online::open(&args.router, &args.session, keys, ui))
        .await?;
    let joined = async {
        ui.note(format_args!(
            "we are {STRONG}{}{STRONG:#}",
            online.session.destination().to_b32()
        ));
        if let Some(format) = args.datagram {
            return datagrams::connect(&args, format, &peer, &online, ui).await;
        }
        let shown = online::shown(&peer);
        let step = ui.step(format!("connecting to {shown}"));
        let options = ConnectOptions::new().timeout(args.timeout.0);
        let stream = online
            .session
            .connect_with(&peer, &options)
            .await
            .map_err(|error| {
                Failure::from_kind(error.kind(), &format!("cannot connect to {shown}"), &error)
            })?;
        step.done(format_args!("connected to {shown}"))?;
        join_stdio(stream, &mut tokio::io::stdin(), ui).await
    };
    let result = stop.or(joined).await;
    online.close_or_stop(&mut stop).await;
    result
}
