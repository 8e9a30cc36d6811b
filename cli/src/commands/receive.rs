//! `sotto receive`.

use crate::args::ReceiveArgs;
use crate::error::CliError;
use crate::ui::Ui;

/// Runs the command.
pub(crate) async fn run(_args: &ReceiveArgs, _ui: Ui) -> Result<(), CliError> {
    Err(CliError::failed("`sotto receive` is not linked into this build yet"))
}
