//! `sotto`: people's client, administrators' helper, and every server of the system, in one binary.
//!
//! [`args`] is the command line, `commands/` has one file a verb, [`error`] decides the exit code, [`ui`] prints.

mod args;
mod chat;
mod commands;
mod error;
mod progress;
mod qr;
mod ui;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Cli, Command, Plugin};
use crate::error::CliError;
use crate::ui::Ui;

fn main() -> ExitCode {
    // Help and version are results; everything else is wrong usage (exit code 2).
    let command = if is_plugin() {
        Plugin::try_parse().map(|plugin| Command::Kube(Box::new(plugin.kube)))
    } else {
        Cli::try_parse().map(|cli| cli.command)
    };
    let command = command.unwrap_or_else(|error| error.exit());
    let ui = Ui;
    match run(&command, ui) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            ui.note(&error.render());
            error.kind.exit_code()
        }
    }
}

/// Whether kubectl has started it: `kubectl sotto` looks for a program of this name.
fn is_plugin() -> bool {
    let name = std::env::args_os().next().map(std::path::PathBuf::from);
    name.as_deref().and_then(std::path::Path::file_stem).is_some_and(|name| name == "kubectl-sotto")
}

fn run(command: &Command, ui: Ui) -> Result<(), CliError> {
    // `ring` is in the dependency tree too, so the provider of TLS is named.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    logs(command)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(dispatch(command, ui));
    // A prompt that still waits on standard input must not keep the process.
    runtime.shutdown_background();
    ended
}

async fn dispatch(command: &Command, ui: Ui) -> Result<(), CliError> {
    match command {
        Command::Up(args) => commands::up::run(args, ui).await,
        Command::Status(args) => commands::status::run(args, ui).await,
        Command::Invite(args) => commands::invite::run(args, ui).await,
        Command::Down(args) => commands::down::run(args, ui).await,
        Command::Join(args) => commands::join::run(args, ui).await,
        Command::Send(args) => commands::send::run(args, ui).await,
        Command::Receive(args) => commands::receive::run(args, ui).await,
        Command::Room(args) => commands::room::run(args, ui).await,
        Command::Whoami(args) => commands::whoami::run(args, ui).await,
        Command::Devices(args) => commands::devices::run(args, ui).await,
        Command::RecoveryKey(args) => commands::recovery::run(args, ui).await,
        Command::Password(args) => commands::password::run(args, ui).await,
        Command::Unlock(args) => commands::password::unlock(args, ui).await,
        Command::History(args) => commands::history::run(args, ui).await,
        Command::Verify(args) => commands::verify::run(args, ui).await,
        Command::Relay(args) => commands::servers::relay(args).await,
        Command::Gateway(args) => commands::servers::gateway(args).await,
        Command::Retention(args) => commands::servers::retention(args).await,
        Command::Operator => commands::servers::operator().await,
        Command::Crds(args) => commands::crds::run(args, ui).await,
        Command::Conversations(args) => commands::conversations::run(args, ui).await,
        Command::Read(args) => commands::conversations::read(args, ui).await,
        Command::Edit(args) => commands::change::edit(args, ui).await,
        Command::Delete(args) => commands::change::delete(args, ui).await,
        Command::React(args) => commands::change::react(args, ui).await,
        Command::Pin(args) => commands::change::pin(args, ui).await,
        Command::Forward(args) => commands::change::forward(args, ui).await,
        Command::Outbox(args) => commands::outbox::run(args, ui).await,
        Command::Settings(args) => commands::conversations::settings(args, ui).await,
        Command::Chat(args) => chat::run(args, ui).await,
        Command::Kube(args) => commands::kube::run(args, ui).await,
        Command::Users(args) => commands::users::run(&args.access, &args.users, ui).await,
        Command::Completion(args) => commands::manual::completion(args, ui),
        Command::Man(args) => commands::manual::man(args, ui),
    }
}

/// Servers always log; people's commands only when asked to by `SOTTO_LOG`.
fn logs(command: &Command) -> Result<(), CliError> {
    let component = match command {
        Command::Relay(_) => "relay",
        Command::Gateway(_) => "gateway",
        Command::Retention(_) => "retention",
        Command::Operator => "operator",
        // Lines of log would stand in its picture; `2> file` keeps them out of it.
        Command::Chat(_) if std::io::stderr().is_terminal() => return Ok(()),
        _ if std::env::var_os("SOTTO_LOG").is_some() => "sotto",
        _ => return Ok(()),
    };
    sotto_telemetry::init_logs(component).map_err(|e| CliError::failed(format!("logging: {e}")))
}
