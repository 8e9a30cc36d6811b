//! `sotto down`.

use crate::args::DownArgs;
use crate::error::CliError;
use crate::ui::Ui;

/// Runs the command.
#[expect(clippy::unused_async, reason = "the administrators' commands are written by another house and land here")]
pub(crate) async fn run(_args: &DownArgs, _ui: Ui) -> Result<(), CliError> {
    Err(CliError::failed("`sotto down` is not linked into this build yet"))
}
