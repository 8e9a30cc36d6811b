//! `sotto status`.

use crate::args::StatusArgs;
use crate::error::CliError;
use crate::ui::Ui;

/// Runs the command.
#[expect(clippy::unused_async, reason = "the administrators' commands are written by another house and land here")]
pub(crate) async fn run(_args: &StatusArgs, _ui: Ui) -> Result<(), CliError> {
    Err(CliError::failed("`sotto status` is not linked into this build yet"))
}
