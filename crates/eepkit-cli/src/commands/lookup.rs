//! `eepkit lookup`: finds the destination of a name.

use eepkit::Host;
use serde::Serialize;

use super::{
    describe::Described,
    online::{self, Online},
};
use crate::{args::LookupArgs, failure::Failure, stop::Stop, ui::Ui};

/// The JSON object that `--json` prints.
#[derive(Debug, Serialize)]
struct Found<'a> {
    version: u32,
    name: &'a str,
    #[serde(flatten)]
    destination: Described,
}

pub(super) async fn run(args: LookupArgs, ui: &Ui) -> Result<(), Failure> {
    let mut stop = Stop::new()?;
    let address = online::address(&args.name)?;
    let destination = match address.host {
        Host::Destination(destination) => destination,
        host => {
            let online = stop
                .or(Online::open(&args.router, &args.session, None, ui))
                .await?;
            let step = ui.step("asking the router");
            let work = async {
                tokio::time::timeout(args.timeout.0, online.session.lookup(host))
                    .await
                    .unwrap_or_else(|_| Err(eepkit::LookupError::Timeout(args.timeout.0.into())))
                    .map_err(|error| {
                        let context = format!("cannot find {}", args.name);
                        Failure::from_kind(error.kind(), &context, &error)
                    })
            };
            let result = stop.or(work).await;
            drop(step);
            online.close_or_stop(&mut stop).await;
            result?
        }
    };
    let found = Found {
        version: 1,
        name: &args.name,
        destination: (&destination).into(),
    };
    if args.json {
        return ui.json(&found);
    }
    found.destination.print(ui, || Ok(()))
}
