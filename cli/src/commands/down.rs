//! `sotto down`: ends what `sotto up` has started.

use sotto_operator::local;

use super::up::explain;
use crate::args::DownArgs;
use crate::error::CliError;
use crate::ui::Ui;

/// Runs the command.
pub(crate) async fn run(args: &DownArgs, ui: Ui) -> Result<(), CliError> {
    let ended = local::down(&args.state).await.map_err(explain)?;
    let state = args.state.display();
    ui.note(&if ended { format!("stopped; the state stays in {state}") } else { format!("nothing runs on {state}") });
    Ok(())
}
