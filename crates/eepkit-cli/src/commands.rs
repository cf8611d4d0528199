//! The implementations of the commands.

mod config;
mod connect;
mod control;
mod daemon;
mod datagrams;
mod demo;
mod describe;
mod devnet;
mod doctor;
mod import;
mod keys;
mod listen;
mod lookup;
mod names;
mod online;
mod ping;
mod proxy;
mod router_clock;
mod run;
mod sam;
mod serve;
mod status;
mod users;

use std::{io::Write, path::Path};

use clap::CommandFactory;

use crate::{
    args::{Cli, Command},
    exit::Exit,
    failure::Failure,
    ui::Ui,
};

/// Runs a command until it ends.
pub(crate) fn run(command: Command, ui: &Ui) -> Result<(), Failure> {
    match command {
        Command::Demo(args) => block_on(demo::run(args, ui)),
        Command::Devnet(args) => block_on(devnet::run(args, ui)),
        Command::Resolve(args) => block_on(names::resolve(args, ui)),
        Command::AddressBook(args) => block_on(names::run(args, ui)),
        Command::HttpProxy(args) => block_on(proxy::http(args, ui)),
        Command::SocksProxy(args) => block_on(proxy::socks(args, ui)),
        Command::Tunnel(args) => block_on(proxy::tunnel(args, ui)),
        Command::Sam(args) => block_on(sam::run(args, ui)),
        Command::Bob(args) => block_on(proxy::bob(args, ui)),
        Command::Config(args) => config::run(&args.command, ui),
        Command::Run(args) => block_on(run::run(args, ui)),
        Command::Status(args) => block_on(status::run(args, ui)),
        Command::WaitReady(args) => block_on(control::wait_ready(args, ui)),
        Command::Reload(args) => block_on(control::reload(args, ui)),
        Command::Stop(args) => block_on(control::stop(args, ui)),
        Command::Doctor(args) => block_on(doctor::run(args, ui)),
        Command::Listen(args) => block_on(listen::run(args, ui)),
        Command::Connect(args) => block_on(connect::run(args, ui)),
        Command::Ping(args) => block_on(ping::run(args, ui)),
        Command::Lookup(args) => block_on(lookup::run(args, ui)),
        Command::Serve(args) => block_on(serve::run(args, ui)),
        Command::Import(args) => import::run(args.command, ui),
        Command::Keys(args) => keys::run(args.command, ui),
        Command::Users(args) => users::run(args, ui),
        Command::Completions { shell } => completions(shell),
        Command::Man { directory } => man(directory.as_deref()),
    }
}

fn block_on(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            Failure::from_error(
                Exit::Failed,
                "cannot start the asynchronous runtime",
                &error,
            )
        })?;
    let result = runtime.block_on(work);
    // The thread that reads standard input cannot be stopped, so the runtime must not wait for it.
    runtime.shutdown_background();
    result
}

fn completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "eepkit", &mut script);
    write_out(&script)
}

fn man(directory: Option<&Path>) -> Result<(), Failure> {
    let Some(directory) = directory else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command())
            .render(&mut page)
            .map_err(|error| Failure::output(&error))?;
        return write_out(&page);
    };
    clap_mangen::generate_to(Cli::command(), directory).map_err(|error| {
        let context = format!("cannot write manual pages to {}", directory.display());
        Failure::from_error(Exit::File, &context, &error)
    })
}

fn write_out(bytes: &[u8]) -> Result<(), Failure> {
    std::io::stdout()
        .lock()
        .write_all(bytes)
        .map_err(|error| Failure::output(&error))
}
