//! `sotto up`.

use crate::args::UpArgs;
use crate::error::CliError;
use crate::ui::Ui;

/// Runs the command.
#[expect(clippy::unused_async, reason = "the administrators' commands are written by another house and land here")]
pub(crate) async fn run(_args: &UpArgs, _ui: Ui) -> Result<(), CliError> {
    Err(CliError::failed("`sotto up` is not linked into this build yet"))
}
