use clap::{CommandFactory, Parser, error::ErrorKind};

use super::*;

fn parse(line: &str) -> Result<Command, ErrorKind> {
    Cli::try_parse_from(line.split(' '))
        .map(|cli| cli.command)
        .map_err(|error| error.kind())
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_has_examples() {
    let root = Cli::command();
    let mut commands: Vec<_> = root
        .get_subcommands()
        .filter(|c| !c.is_hide_set())
        .collect();
    commands.extend(
        root.find_subcommand("keys")
            .into_iter()
            .flat_map(|keys| keys.get_subcommands()),
    );
    for command in commands {
        // Commands with subcommands have no examples of their own.
        if command.has_subcommands() {
            continue;
        }
        let help = command
            .get_after_long_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        assert!(
            help.contains("Examples:\n  eepkit "),
            "{}",
            command.get_name()
        );
    }
}

#[test]
fn options_of_a_session_reach_the_command() {
    let command = parse(
        "eepkit connect --router embedded -l 1,2 --quantity 3 -o a=b -o c=d --keys k.dat x.i2p:80",
    );

    let Ok(Command::Connect(args)) = command else {
        panic!("{command:?}");
    };
    assert_eq!(args.router.router, Some(RouterChoice::Embedded));
    assert_eq!(
        args.session.length,
        Some(InOut {
            inbound: 1,
            outbound: 2
        })
    );
    assert_eq!(
        args.session.quantity,
        Some(InOut {
            inbound: 3,
            outbound: 3
        })
    );
    assert_eq!(args.session.options.len(), 2);
    assert_eq!(args.peer, "x.i2p:80");
}

#[test]
fn a_destination_may_start_with_a_hyphen() {
    let Ok(Command::Connect(args)) = parse("eepkit connect -t 5s -Zq~AAAA") else {
        panic!("not parsed");
    };

    assert_eq!(args.peer, "-Zq~AAAA");
    assert_eq!(args.timeout.to_string(), "5s");
}

#[test]
fn wherever_a_destination_is_an_argument_it_may_start_with_a_hyphen() {
    let destination = format!("-{}", "A".repeat(515));
    for line in [
        "eepkit connect DEST",
        "eepkit ping -c 1 DEST:80",
        "eepkit lookup DEST",
        "eepkit addressbook add a.i2p DEST --replace",
        "eepkit tunnel client -l 127.0.0.1:1 -d DEST -d DEST:80",
        "eepkit tunnel client -l 127.0.0.1:1 --destination DEST",
        "eepkit tunnel irc -l 127.0.0.1:1 -d DEST",
        "eepkit tunnel udp -l 127.0.0.1:1 -d DEST:53",
        "eepkit tunnel streamr -t 127.0.0.1:1 -d DEST",
        "eepkit http-proxy --outproxy DEST:8080",
        "eepkit socks-proxy --outproxy DEST:1080",
    ] {
        let parsed = parse(&line.replace("DEST", &destination));
        assert!(parsed.is_ok(), "{line}: {parsed:?}");
    }
}

#[test]
fn a_flag_is_no_destination() {
    for line in [
        "eepkit tunnel client -l 127.0.0.1:1 -d --json",
        "eepkit tunnel client -d -l 127.0.0.1:1",
        "eepkit addressbook add a.i2p",
    ] {
        assert!(parse(line).is_err(), "{line}");
    }
}

#[test]
fn waiting_has_a_limit_except_for_inbound_streams() {
    let Ok(Command::Listen(listen)) = parse("eepkit listen") else {
        panic!("not parsed");
    };
    let Ok(Command::Connect(connect)) = parse("eepkit connect x.i2p") else {
        panic!("not parsed");
    };

    assert_eq!(listen.timeout, None);
    assert_eq!(connect.timeout.to_string(), "60s");
}

#[test]
fn wrong_usage_is_refused() {
    for line in [
        "eepkit",
        "eepkit dance",
        "eepkit connect",
        "eepkit connect x.i2p y.i2p",
        "eepkit connect x.i2p --length 8",
        "eepkit connect x.i2p --quantity 0",
        "eepkit connect x.i2p --router 127.0.0.1:7654",
        "eepkit connect x.i2p --preset fast",
        "eepkit connect x.i2p -o novalue",
        "eepkit listen --max-streams 3",
        "eepkit listen --port 65536",
        "eepkit ping -c 0 x.i2p",
        "eepkit ping -i soon x.i2p",
        "eepkit devnet -n 2",
        "eepkit demo --length 0",
        "eepkit keys",
        "eepkit keys new",
        "eepkit keys new f --type rsa",
        "eepkit -q -v demo",
        "eepkit --color sometimes demo",
    ] {
        assert!(parse(line).is_err(), "{line}");
    }
}

#[test]
fn signature_types_have_names_and_numbers() {
    for (text, choice) in [
        ("ed25519", SignatureChoice::Ed25519),
        ("7", SignatureChoice::Ed25519),
        ("ecdsa-p256", SignatureChoice::EcdsaP256),
        ("11", SignatureChoice::RedDsa),
    ] {
        let Ok(Command::Keys(keys)) = parse(&format!("eepkit keys new f --type {text}")) else {
            panic!("{text}");
        };
        let KeysCommand::New(args) = keys.command else {
            panic!("{text}");
        };
        assert_eq!(args.signature, choice);
    }
}
