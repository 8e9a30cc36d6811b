//! Forms of what is about a user's devices: `devices`, `recovery-key`, `password`, `unlock`, `history`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::{ProfileArgs, TextFormat, duration};

pub(super) const DEVICES_EXAMPLES: &str = "\
Examples:
  sotto devices --profile alice                       # list them
  sotto devices link --profile alice                  # then on the new device: sotto join 'sotto://…/link?…'
  sotto devices approve --profile alice 0G7QK-…       # the code that the new device shows, where it shows one
  sotto devices remove --profile alice 4f0c…          # the id as `sotto devices` prints it
  sotto devices reset --profile alice                 # all but this one";

pub(super) const RECOVERY_EXAMPLES: &str = "\
Examples:
  sotto recovery-key --profile alice                  # write it down, and keep it where no device is
  sotto join 'sotto://…/link?…' --recovery-key-file F # a new device without another one at hand
  sotto recovery-key --profile alice --remove";

pub(super) const PASSWORD_EXAMPLES: &str = "\
Examples:
  sotto password --profile alice
  sotto password --profile alice --password-file old --new-password-file new

Run it on your other devices with the same two passwords: each keeps its profile under the old one until then. It can be run
again when it was interrupted.";

pub(super) const HISTORY_EXAMPLES: &str = "\
Examples:
  sotto history receive --profile laptop              # on the new device: shows a code, and waits
  sotto history send --profile phone 0G7QK-…          # on the old device, with that code
  sotto history send --profile phone                  # or the other way round: the old device shows the code

Both sides show the other one and ask. Either can be ended at any moment and run again without a code: it goes on.";

/// `sotto devices`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct DevicesArgs {
    /// What to do; without one, they are listed
    #[command(subcommand)]
    pub(crate) action: Option<DevicesAction>,
    /// The profile to ask with.
    #[command(flatten)]
    pub(crate) profile: ProfileArgs,
    /// Form of the output
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: TextFormat,
}

/// What can be done with devices.
#[derive(Debug, Subcommand)]
pub(crate) enum DevicesAction {
    /// Print the link by which a new device joins; nothing in it is secret
    Link(ShowArgs),
    /// Approve a new device by the code that it shows
    Approve(ApproveArgs),
    /// Remove a device: it gets nothing from now on
    Remove(RemoveArgs),
    /// Remove every device but this one
    Reset(ConfirmArgs),
}

/// A command with nothing but profile and form of output.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The profile to ask with.
    #[command(flatten)]
    pub(crate) profile: ProfileArgs,
    /// Form of the output
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: TextFormat,
}

/// `sotto devices approve`.
#[derive(Debug, Args)]
pub(crate) struct ApproveArgs {
    /// The profile to approve with.
    #[command(flatten)]
    pub(crate) profile: ProfileArgs,
    /// The code that the new device shows; asked for when absent
    pub(crate) code: Option<String>,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Form of the output
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: TextFormat,
}

/// `sotto devices remove`.
#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    /// The profile to remove with.
    #[command(flatten)]
    pub(crate) profile: ProfileArgs,
    /// The device's id, as `sotto devices` prints it
    pub(crate) device: String,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
}

/// `sotto devices reset`.
#[derive(Debug, Args)]
pub(crate) struct ConfirmArgs {
    /// The profile to keep.
    #[command(flatten)]
    pub(crate) profile: ProfileArgs,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
}

/// `sotto recovery-key`.
#[derive(Debug, Args)]
pub(crate) struct RecoveryArgs {
    /// The profile to make it for.
    #[command(flatten)]
    pub(crate) profile: ProfileArgs,
    /// Take it away: it opens nothing from now on
    #[arg(long)]
    pub(crate) remove: bool,
    /// Form of the output
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: TextFormat,
}

/// `sotto password`.
#[derive(Debug, Args)]
pub(crate) struct PasswordArgs {
    /// The profile to change. The old password comes from the file, or else from the terminal
    #[command(flatten)]
    pub(crate) profile: ProfileArgs,
    /// File with the new password, instead of the terminal
    #[arg(long, value_name = "F")]
    pub(crate) new_password_file: Option<PathBuf>,
}

/// What opens a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum UnlockChoice {
    /// An `unlock.key` file beside the store: whoever can read that can read the store
    File,
    /// The password, each time
    Password,
    /// The system's keyring (Linux: the kernel's) until the machine restarts; then the password once
    Keyring,
}

/// `sotto unlock`.
#[derive(Debug, Args)]
pub(crate) struct UnlockArgs {
    /// The profile to change.
    #[command(flatten)]
    pub(crate) profile: ProfileArgs,
    /// What opens it from now on
    #[arg(value_enum)]
    pub(crate) way: UnlockChoice,
}

/// `sotto history`.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// What to do
    #[command(subcommand)]
    pub(crate) action: HistoryAction,
}

/// What can be done with the history.
#[derive(Debug, Subcommand)]
pub(crate) enum HistoryAction {
    /// Send it to another device of yours
    Send(TransferArgs),
    /// Receive it from another device of yours
    Receive(TransferArgs),
    /// Print messages of a conversation, or of all, oldest first
    #[command(after_help = super::talk::HISTORY_EXAMPLES)]
    Show(super::HistoryShowArgs),
    /// Print messages with all of these words in them, newest first
    #[command(after_help = super::talk::HISTORY_EXAMPLES)]
    Search(super::HistorySearchArgs),
    /// Fetch the file of a message and save it
    #[command(after_help = super::talk::HISTORY_EXAMPLES)]
    Save(super::HistorySaveArgs),
}

/// `sotto history send`, `sotto history receive`.
#[derive(Debug, Args)]
pub(crate) struct TransferArgs {
    /// The profile of this device.
    #[command(flatten)]
    pub(crate) profile: ProfileArgs,
    /// The code that the other device shows; without it this one shows one, or goes on with what was begun
    pub(crate) code: Option<String>,
    /// Do not ask whether the other device is the right one: whoever has the code is
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Leave what was begun
    #[arg(long, conflicts_with_all = ["code", "yes"])]
    pub(crate) cancel: bool,
    /// End after this time; what was begun goes on when it is run again
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,
    /// Form of the output
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: TextFormat,
}
