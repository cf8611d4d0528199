//! Flags from a table of options.

use std::path::Path;

use clap::{Arg, ArgAction, ArgMatches, Command, error::ErrorKind};
use eepkit_services::options::{Form, Input, Located, Opt, Table};

/// Adds the flags of the options, below a heading of the help if there is one.
pub(super) fn augment<C: 'static>(
    table: &'static Table<C>,
    heading: Option<&'static str>,
    mut command: Command,
) -> Command {
    for option in table.options {
        for arg in args(table, option) {
            command = command.arg(match heading {
                Some(heading) => arg.help_heading(heading),
                None => arg,
            });
        }
    }
    command
}

/// Sets the options whose flag was given, and returns their keys.
pub(super) fn update<C: 'static>(
    table: &'static Table<C>,
    config: &mut C,
    matches: &ArgMatches,
) -> Result<Vec<&'static str>, clap::Error> {
    let mut given = Vec::new();
    for option in table.options {
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
            (Form::List, texts) => Input::List(texts.iter().map(|text| located(text)).collect()),
            (_, [.., text]) => Input::Text(text),
        };
        (option.access.set)(config, &input, Path::new(""))
            .map_err(|mistake| wrong(&format!("--{} {}", flag.long, mistake.what)))?;
        given.push(option.key);
    }
    Ok(given)
}

/// The arguments of an option.
fn args<C: 'static>(table: &Table<C>, option: &'static Opt<C>) -> Vec<Arg> {
    let Some(flag) = option.flag else {
        return Vec::new();
    };
    let (short_help, long_help) = table.help(option);
    let mut arg = Arg::new(option.key)
        .long(flag.long)
        .allow_hyphen_values(flag.hyphen)
        .requires_ifs(
            flag.requires
                .iter()
                .map(|key| (clap::builder::ArgPredicate::IsPresent, *key)),
        );
    if let Some(short) = flag.short {
        arg = arg.short(short);
    }
    if let Some(env) = flag.env {
        arg = arg.env(env).hide_env_values(true);
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

fn located(text: &str) -> Located<Input<'_>> {
    Located {
        at: None,
        value: Input::Text(text),
    }
}

fn wrong(why: &str) -> clap::Error {
    clap::Error::raw(ErrorKind::ValueValidation, format!("{why}\n"))
}
