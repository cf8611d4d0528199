//! The options of the router: flags of commands, and the section `[router]` of the configuration file.

use std::{path::PathBuf, time::Duration};

use clap::{ArgMatches, Args, Command, FromArgMatches};
use eepkit_services::{
    access,
    options::{Flag, Opt, Span, Table},
};

use super::{table, values::RouterChoice};

/// Which router, and how long to wait for it. The default is that of the flags: nothing is set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RouterArgs {
    pub(crate) router: Option<RouterChoice>,
    pub(crate) login_file: Option<PathBuf>,
    pub(crate) state_dir: Option<PathBuf>,
    pub(crate) reseed_file: Option<PathBuf>,
    pub(crate) start_timeout: Option<Span>,
}

impl RouterArgs {
    /// The default limit for a router in this process to start, find other routers and build
    /// tunnels. Chosen because a first start takes two or three minutes.
    pub(crate) const EMBEDDED_LIMIT: Duration = Duration::from_secs(180);

    /// Whether the router runs in this process.
    pub(crate) fn is_embedded(&self) -> bool {
        self.router == Some(RouterChoice::Embedded)
    }
}

impl Args for RouterArgs {
    fn augment_args(command: Command) -> Command {
        table::augment(&ROUTER, Some("Router"), command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for RouterArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut args = Self::default();
        args.update_from_arg_matches(matches)?;
        Ok(args)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        table::update(&ROUTER, self, matches)?;
        Ok(())
    }
}

/// The options. Their defaults are those of the configuration file.
pub(crate) static ROUTER: Table<RouterArgs> = Table {
    section: "router",
    doc: "The router that all services use.",
    defaults: || RouterArgs {
        router: Some(RouterChoice::Embedded),
        start_timeout: Some(Span(RouterArgs::EMBEDDED_LIMIT)),
        ..RouterArgs::default()
    },
    options: &[
        Opt::new(
            "router",
            access!(RouterArgs, Option<RouterChoice>, router),
            "`i2cp://HOST:PORT` for a running router, `embedded` for one in this process.\n\
             `sam://HOST:PORT` for one that has only SAM, which gets the keys of the destination.\n\
             `embedded` joins the live network. It needs the internet, and minutes at its first start.",
        )
        .flag(
            Flag::new("router", "ROUTER")
                .short('r')
                .env("EEPKIT_ROUTER")
                .default("i2cp://127.0.0.1:7654"),
        ),
        Opt::new(
            "login_file",
            access!(RouterArgs, Option<PathBuf>, login_file),
            "File with USER:PASSWORD for a running router that requires a login.\n\
             Unlike a login in the address, other users do not see it in the list of processes.",
        )
        .example("\"router.login\"")
        .flag(Flag::new("login-file", "FILE").env("EEPKIT_LOGIN_FILE")),
        Opt::new(
            "state_dir",
            access!(RouterArgs, Option<PathBuf>, state_dir),
            "Where the embedded router keeps its identity and its view of the network.\n\
             Default: eepkit/router in the user's data directory.",
        )
        .example("\"/var/lib/eepkit/router\"")
        .flag(Flag::new("state-dir", "DIR").env("EEPKIT_STATE")),
        Opt::new(
            "reseed_file",
            access!(RouterArgs, Option<PathBuf>, reseed_file),
            "List of routers (i2pseeds.su3) for the embedded router's first start.\n\
             For networks from which reseed hosts cannot be reached.",
        )
        .example("\"i2pseeds.su3\"")
        .flag(Flag::new("reseed-file", "FILE")),
        Opt::new(
            "start_timeout",
            access!(RouterArgs, Option<Span>, start_timeout),
            "Give up when the router is not ready after this.\n\
             A first start of the embedded router takes minutes.",
        )
        .flag(Flag::new("start-timeout", "TIME").default("60s; 3m for the embedded router")),
    ],
};

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        router: RouterArgs,
    }

    #[test]
    fn every_option_has_a_flag_that_sets_it() {
        let values = [
            ("router", "sam://127.0.0.1"),
            ("login_file", "login"),
            ("state_dir", "state"),
            ("reseed_file", "x.su3"),
            ("start_timeout", "2m"),
        ];
        assert_eq!(values.len(), ROUTER.options.len());
        for ((key, value), option) in values.iter().zip(ROUTER.options) {
            assert_eq!(option.key, *key);
            let flag = option.flag.expect(key);
            let line = ["program".to_owned(), format!("--{}={value}", flag.long)];
            let args = Program::try_parse_from(line).expect(key).router;
            let written = (option.access.get)(&args).expect(key);
            assert_eq!(written, format!("{value:?}"));
            let others = ROUTER.options.iter().filter(|other| other.key != *key);
            for other in others.filter(|other| other.flag.is_some_and(|flag| flag.env.is_none())) {
                assert_eq!((other.access.get)(&args), None, "{}", other.key);
            }
        }
    }

    #[test]
    fn a_value_that_an_option_cannot_have_is_refused() {
        for flag in ["--router=i2pd", "--start-timeout=soon"] {
            Program::try_parse_from(["program", flag]).expect_err(flag);
        }
    }
}
