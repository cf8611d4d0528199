//! `eepkit listen`: inbound streams, connected to standard input and output or to commands, or
//! datagrams.

use std::{
    io::{self, IsTerminal},
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use eepkit::{Listener, PrivateKeys, Session, Stream};
use eepkit_services::relay::{Traffic, Until};
use tokio::{
    process::{Child, Command},
    sync::Semaphore,
    task::JoinSet,
    time::timeout,
};

use super::{datagrams, describe::with_port, keys, online::Online};
use crate::{
    args::{ListenArgs, Span},
    exit::Exit,
    failure::Failure,
    pipe::{self, CommandInput, PipeError},
    stop::Stop,
    ui::{self, STRONG, Ui},
};

pub(super) async fn run(args: ListenArgs, ui: &Ui) -> Result<(), Failure> {
    let mut stop = Stop::new()?;
    let keys = keys_of(&args, ui)?;
    let online = stop
        .or(Online::open(&args.router, &args.session, keys, ui))
        .await?;
    let serving = async {
        tokio::select! {
            result = serve(&args, &online, ui) => result,
            never = online.report_reachability(ui) => match never {},
        }
    };
    let result = stop.or(serving).await;
    online.close_or_stop(&mut stop).await;
    match result {
        // With --keep-open, a signal is the normal end.
        Err(failure) if args.keep_open && failure.is_signal() => Ok(()),
        result => result,
    }
}

fn keys_of(args: &ListenArgs, ui: &Ui) -> Result<Option<PrivateKeys>, Failure> {
    let Some(file) = &args.keys else {
        return Ok(None);
    };
    keys::load_or_create(file, ui).map(Some)
}

async fn serve(args: &ListenArgs, online: &Online, ui: &Ui) -> Result<(), Failure> {
    if let Some(format) = args.datagram {
        return datagrams::listen(args, format, online, ui).await;
    }
    let listener = online
        .session
        .listen(args.port)
        .map_err(|error| Failure::from_kind(error.kind(), "cannot listen", &error))?;
    let address = with_port(online.session.destination(), args.port);
    ui.note(format_args!("listening on {STRONG}{address}{STRONG:#}"));
    ui.note(format_args!("connect to it with: eepkit connect {address}"));
    match &args.exec {
        None => serve_stdio(args, &online.session, &listener, ui).await,
        Some(command) if args.keep_open => {
            let (most, session) = (args.max_streams, &online.session);
            serve_commands(command, most, args.timeout, session, &listener, *ui).await
        }
        Some(command) => {
            let stream = accept(&online.session, &listener, args.timeout).await?;
            let status = run_command(command, stream, ui).await?;
            if status.success() {
                Ok(())
            } else {
                Err(Failure::new(
                    Exit::Failed,
                    format!("the command ended with {status}"),
                ))
            }
        }
    }
}

async fn serve_stdio(
    args: &ListenArgs,
    session: &Session,
    listener: &Listener,
    ui: &Ui,
) -> Result<(), Failure> {
    let mut input = tokio::io::stdin();
    loop {
        let stream = accept(session, listener, args.timeout).await?;
        ui.note(format_args!(
            "stream from {}",
            with_port(stream.peer(), stream.peer_port())
        ));
        let result = join_stdio(stream, &mut input, ui).await;
        match result {
            // The failure of one peer must not prevent the next ones from being served.
            Err(failure) if args.keep_open && failure.exit() == Exit::Unreachable => {
                ui.warn(failure);
            }
            result if !args.keep_open => return result,
            result => result?,
        }
    }
}

/// Connects a stream to standard input and output, and reports the number of bytes.
pub(super) async fn join_stdio(
    stream: Stream,
    input: &mut tokio::io::Stdin,
    ui: &Ui,
) -> Result<(), Failure> {
    let until = if io::stdin().is_terminal() {
        // The input of a terminal never ends by itself.
        Until::BEnds
    } else {
        Until::BothEnd
    };
    let started = tokio::time::Instant::now();
    let traffic = Traffic::new();
    let result = pipe::join_stream(stream, input, tokio::io::stdout(), until, &traffic).await;
    ui.note(format_args!(
        "sent {}, received {} in {}",
        ui::bytes(traffic.a_to_b()),
        ui::bytes(traffic.b_to_a()),
        ui::duration(started.elapsed())
    ));
    result.map_err(|error| match error {
        PipeError::Output(error) => Failure::output(&error),
        error => Failure::from_pipe(&error),
    })
}

async fn accept(
    session: &Session,
    listener: &Listener,
    limit: Option<Span>,
) -> Result<Stream, Failure> {
    let accepted = match limit {
        None => listener.accept().await,
        Some(limit) => timeout(limit.0, listener.accept()).await.map_err(|_| {
            let account = session.status().account();
            Failure::new(
                Exit::TimedOut,
                format!("no stream arrived within {limit} (the session was {account})"),
            )
        })?,
    };
    accepted.map_err(|error| Failure::from_kind(error.kind(), "cannot accept streams", &error))
}

/// Serves streams concurrently, each with a command, until the listener fails.
async fn serve_commands(
    command: &str,
    at_a_time: u16,
    limit: Option<Span>,
    session: &Session,
    listener: &Listener,
    ui: Ui,
) -> Result<(), Failure> {
    let permits = Arc::new(Semaphore::new(at_a_time.into()));
    // Dropped with this future, which stops the commands.
    let mut running = JoinSet::new();
    loop {
        // The semaphore is never closed.
        let permit = permits.clone().acquire_owned().await.ok();
        let stream = accept(session, listener, limit).await?;
        let command = command.to_owned();
        running.spawn(async move {
            let peer = with_port(stream.peer(), stream.peer_port());
            match run_command(&command, stream, &ui).await {
                Ok(status) if status.success() => {}
                Ok(status) => ui.warn(format_args!("the command for {peer} ended with {status}")),
                Err(failure) => ui.warn(format_args!("{peer}: {failure}")),
            }
            drop(permit);
        });
        while running.try_join_next().is_some() {}
    }
}

/// Runs a command with a stream as its standard input and output.
async fn run_command(command: &str, stream: Stream, ui: &Ui) -> Result<ExitStatus, Failure> {
    let peer = with_port(stream.peer(), stream.peer_port());
    ui.note(format_args!("stream from {peer}"));
    let mut child = shell(command)
        .env("EEPKIT_PEER", stream.peer().to_b32())
        .env("EEPKIT_PEER_PORT", stream.peer_port().to_string())
        .env("EEPKIT_PORT", stream.local_port().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| Failure::from_error(Exit::Failed, "cannot start a shell", &error))?;
    let joined = match (child.stdout.take(), child.stdin.take()) {
        (Some(output_of_child), Some(input_of_child)) => {
            // A command that has written its output and exited need not have read all of its input.
            let input = CommandInput::new(input_of_child);
            let traffic = Traffic::new();
            pipe::join_stream(stream, output_of_child, input, Until::AEnds, &traffic).await
        }
        // Both were requested above.
        _ => Ok(()),
    };
    match joined {
        Ok(()) => child.wait().await.map_err(|error| {
            Failure::from_error(Exit::Failed, "cannot wait for the command", &error)
        }),
        Err(error) => {
            end(&mut child).await;
            Err(Failure::from_pipe(&error))
        }
    }
}

/// Waits for a command whose pipes are closed, and kills it if it does not exit.
async fn end(child: &mut Child) {
    // Chosen because a command that detects the end of its input exits in milliseconds.
    const GRACE: Duration = Duration::from_secs(2);

    if timeout(GRACE, child.wait()).await.is_err() {
        // It may have exited at this moment.
        let _ = child.kill().await;
    }
}

fn shell(command: &str) -> Command {
    let (shell, flag) = if cfg!(windows) {
        ("cmd", "/C")
    } else {
        ("sh", "-c")
    };
    let mut shell = Command::new(shell);
    shell.arg(flag).arg(command);
    shell
}
