//! The flags of a service, generated from its table of options.

use std::path::Path;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, error::ErrorKind};
use eepkit_services::{
    options::{Form, Input, Located, Opt},
    service::Definition,
};

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
    fn augment_args(mut command: Command) -> Command {
        for option in D::table().options {
            for arg in args::<D>(option) {
                command = command.arg(arg);
            }
        }
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// The arguments of an option.
fn args<D: Definition>(option: &'static Opt<D>) -> Vec<Arg> {
    let Some(flag) = option.flag else {
        return Vec::new();
    };
    let (short_help, long_help) = D::table().help(option);
    let mut arg = Arg::new(option.key).long(flag.long).requires_ifs(
        flag.requires
            .iter()
            .map(|key| (clap::builder::ArgPredicate::IsPresent, *key)),
    );
    if let Some(short) = flag.short {
        arg = arg.short(short);
    }
    if long_help != short_help {
        arg = arg.long_help(long_help);
    }
    arg = arg.help(short_help);
    let check = option.access.check;
    let parse = move |text: &str| check(text).map(|()| text.to_owned());
    arg = match option.access.form {
        Form::Switch => arg.action(ArgAction::SetTrue),
        Form::Single => arg.value_name(flag.value).value_parser(parse),
        Form::List | Form::Pairs => arg
            .value_name(flag.value)
            .value_parser(parse)
            .action(ArgAction::Append),
    };
    let none = flag.none.map(|(name, help)| {
        Arg::new(name)
            .long(name)
            .help(help)
            .action(ArgAction::SetTrue)
            .conflicts_with(option.key)
    });
    [arg].into_iter().chain(none).collect()
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
        for option in D::table().options {
            let Some(flag) = option.flag else {
                continue;
            };
            let texts: Vec<&str> = match option.access.form {
                Form::Switch => Vec::new(),
                _ => matches
                    .get_many::<String>(option.key)
                    .into_iter()
                    .flatten()
                    .map(String::as_str)
                    .collect(),
            };
            let is_none = flag.none.is_some_and(|(name, _)| matches.get_flag(name));
            let input = match (option.access.form, &*texts) {
                (Form::Switch, _) if matches.get_flag(option.key) => Input::Flag(true),
                _ if is_none => Input::List(Vec::new()),
                (_, []) => continue,
                (Form::Pairs, texts) => {
                    Input::from_pairs(texts.iter().copied()).map_err(|why| wrong(&why))?
                }
                (Form::List, texts) => {
                    Input::List(texts.iter().map(|text| located(text)).collect())
                }
                (_, [.., text]) => Input::Text(text),
            };
            (option.access.set)(&mut self.config, &input, Path::new(""))
                .map_err(|mistake| wrong(&format!("--{} {}", flag.long, mistake.what)))?;
            self.given.push(option.key);
        }
        Ok(())
    }
}

fn located(text: &str) -> Located<Input<'_>> {
    Located {
        at: None,
        value: Input::Text(text),
    }
}

fn wrong(why: &str) -> clap::Error {
    clap::Error::raw(ErrorKind::ValueValidation, format!("{why}\n"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;
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
