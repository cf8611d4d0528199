//! The flags of a service, generated from its table of options.

use clap::{ArgMatches, Args, Command, FromArgMatches};
use eepkit_services::service::Definition;

use super::table;

/// The configuration of a service, from flags.
#[derive(Debug, Clone)]
pub(crate) struct ServiceArgs<D> {
    /// Boxed, because a configuration is much larger than the arguments of other commands.
    config: Box<D>,
    /// Keys of the options that were given.
    given: Vec<&'static str>,
}

impl<D: Definition> ServiceArgs<D> {
    /// Whether the option with this key was given.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.given.contains(&key)
    }

    pub(crate) fn into_config(self) -> D {
        *self.config
    }
}

impl<D: Definition> Args for ServiceArgs<D> {
    fn augment_args(command: Command) -> Command {
        table::augment(D::table(), None, command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<D: Definition> FromArgMatches for ServiceArgs<D> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut args = Self {
            config: Box::new((D::table().defaults)()),
            given: Vec::new(),
        };
        args.update_from_arg_matches(matches)?;
        Ok(args)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.given
            .extend(table::update(D::table(), &mut self.config, matches)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::{Parser, error::ErrorKind};
    use eepkit_services::sam::SamConfig;

    use super::*;

    #[derive(Debug, Parser)]
    struct Sam {
        #[command(flatten)]
        sam: ServiceArgs<SamConfig>,
    }

    fn parse(line: &str) -> Result<ServiceArgs<SamConfig>, ErrorKind> {
        let words = line.split(' ').filter(|word| !word.is_empty());
        Sam::try_parse_from(words)
            .map(|sam| sam.sam)
            .map_err(|error| error.kind())
    }

    /// Returns the value of an option in the form of the configuration file.
    fn value(args: &ServiceArgs<SamConfig>, key: &str) -> Option<String> {
        let option = SamConfig::table().find(key).expect(key);
        (option.access.get)(&args.config)
    }

    #[test]
    fn flags_set_the_options_that_the_file_has_keys_for() {
        let args = parse(
            "sam -l localhost:1 --listen [::1]:2 --unix a.sock --no-udp --users u.json \
             --require-password -o inbound.length=1 --option a=b",
        );
        let args = args.expect("valid");
        for (key, expected) in [
            ("listen", "[\"127.0.0.1:1\", \"[::1]:2\"]"),
            ("listen_unix", "[\"a.sock\"]"),
            ("udp", "[]"),
            ("users", "\"u.json\""),
            ("require_password", "true"),
            ("options", "{ \"inbound.length\" = \"1\", a = \"b\" }"),
            ("max_sessions", "128"),
        ] {
            let written = value(&args, key).expect(key).replace("\"a\" =", "a =");
            assert_eq!(written, expected, "{key}");
        }
        assert!(args.has("listen") && args.has("udp") && !args.has("trust"));
    }

    #[test]
    fn no_flags_are_the_default() {
        let args = parse("sam").expect("valid");
        assert_eq!(args.into_config(), SamConfig::new());
    }

    #[test]
    fn flags_that_do_not_fit_together_are_refused() {
        for (line, kind) in [
            (
                "sam --listen-tls 127.0.0.1:1",
                ErrorKind::MissingRequiredArgument,
            ),
            (
                "sam --tls-key a --tls-certificate b",
                ErrorKind::MissingRequiredArgument,
            ),
            ("sam --require-password", ErrorKind::MissingRequiredArgument),
            (
                "sam --udp 127.0.0.1:1 --no-udp",
                ErrorKind::ArgumentConflict,
            ),
            ("sam -l 7656", ErrorKind::ValueValidation),
            ("sam -o inbound.length=99", ErrorKind::ValueValidation),
            ("sam -o x", ErrorKind::ValueValidation),
            ("sam --users a --users b", ErrorKind::ArgumentConflict),
        ] {
            assert_eq!(parse(line).err(), Some(kind), "{line}");
        }
    }
}
