//! `sotto devices`.

use crate::args::DevicesArgs;
use crate::error::CliError;
use crate::ui::Ui;

/// Runs the command.
pub(crate) async fn run(_args: &DevicesArgs, _ui: Ui) -> Result<(), CliError> {
    Err(CliError::failed("`sotto devices` is not linked into this build yet"))
}
