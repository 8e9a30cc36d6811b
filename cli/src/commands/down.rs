//! `sotto down`: ends what `sotto up` has started.

use serde::Serialize;
use sotto_operator::local;

use super::up::explain;
use crate::args::{DownArgs, TextFormat};
use crate::error::CliError;
use crate::ui::Ui;

/// What `-o json` prints.
#[derive(Serialize)]
struct Report {
    /// Whether something ran.
    stopped: bool,
    /// The folder that stays.
    state: String,
}

/// Runs the command.
pub(crate) async fn run(args: &DownArgs, ui: Ui) -> Result<(), CliError> {
    let ended = local::down(&args.state).await.map_err(explain)?;
    let state = args.state.display();
    if args.output == TextFormat::Json {
        return ui.json(&Report { stopped: ended, state: state.to_string() });
    }
    ui.note(&if ended { format!("stopped; the state stays in {state}") } else { format!("nothing runs on {state}") });
    Ok(())
}
