//! `sotto join`.

use crate::args::JoinArgs;
use crate::error::CliError;
use crate::ui::Ui;

/// Runs the command.
pub(crate) async fn run(_args: &JoinArgs, _ui: Ui) -> Result<(), CliError> {
    Err(CliError::failed("`sotto join` is not linked into this build yet"))
}
