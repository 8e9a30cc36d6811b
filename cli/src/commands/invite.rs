//! `sotto invite`.

use crate::args::InviteArgs;
use crate::error::CliError;
use crate::ui::Ui;

/// Runs the command.
#[expect(clippy::unused_async, reason = "the administrators' commands are written by another house and land here")]
pub(crate) async fn run(_args: &InviteArgs, _ui: Ui) -> Result<(), CliError> {
    Err(CliError::failed("`sotto invite` is not linked into this build yet"))
}
