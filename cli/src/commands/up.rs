//! `sotto up`: the networks of a folder of manifests on this machine.

use sotto_operator::local::{self, LocalError, Mode, UpOptions, report::Lines, snapshot::list};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::args::{TextFormat, UpArgs};
use crate::error::CliError;
use crate::ui::Ui;

/// Runs the command.
pub(crate) async fn run(args: &UpArgs, ui: Ui) -> Result<(), CliError> {
    let mode = match (args.until_ready, args.in_background) {
        (true, _) => Mode::UntilReady,
        (_, true) => Mode::Background,
        _ => Mode::Foreground,
    };
    let options = UpOptions { dir: args.dir.clone(), state: args.state.clone(), mode };
    let shutdown = CancellationToken::new();
    let json = args.output == TextFormat::Json;
    if json && mode != Mode::UntilReady {
        return Err(CliError::usage("-o json needs --until-ready")
            .hint("while it runs, `sotto status -o json` gives the objects at any time"));
    }
    let mut tell = |lines: Lines| {
        for line in &lines.notes {
            ui.note(line);
        }
        for line in &lines.results {
            // Whoever closes the pipe has seen enough; the networks go on.
            if json {
                ui.note(line);
            } else {
                let _ = ui.result(line);
            }
        }
    };
    if mode == Mode::UntilReady {
        // Ctrl-C while waiting ends the waiting; the runner in the background is told by `sotto down`.
        local::up(&options, shutdown, &mut tell).await.map_err(explain)?;
        if json && let Some((snapshot, _)) = local::status(&args.state).map_err(explain)? {
            ui.json(&list(&snapshot.items))?;
        }
        return Ok(());
    }
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // The terminal is closed.
    let mut hangup = signal(SignalKind::hangup())?;
    let cancel = shutdown.clone();
    let signals = tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
        }
        ui.note("stopping");
        cancel.cancel();
    });
    let ended = local::up(&options, shutdown, &mut tell).await;
    signals.abort();
    ended.map_err(explain)
}

/// The error with what to do.
#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
pub(crate) fn explain(error: LocalError) -> CliError {
    let message = error.to_string();
    match error {
        LocalError::NotReady(_) => CliError::failed(message)
            .hint("what is ready runs in the background; put the rest right and it is applied as it is saved, or end it with `sotto down`"),
        LocalError::Manifests { .. } | LocalError::NoState(_) => CliError::usage(message),
        _ => CliError::failed(message),
    }
}
