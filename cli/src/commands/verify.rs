//! `sotto verify`.

use crate::args::VerifyArgs;
use crate::error::CliError;
use crate::ui::Ui;

/// Runs the command.
pub(crate) async fn run(_args: &VerifyArgs, _ui: Ui) -> Result<(), CliError> {
    Err(CliError::failed("`sotto verify` is not linked into this build yet"))
}
