//! Conversations on the command line: what is there, and what is done to messages.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{ProfileArgs, TextFormat, duration};

pub(crate) const CONVERSATIONS_EXAMPLES: &str = "\
Examples:
  sotto conversations --profile alice
  sotto conversations --profile alice --unread -o json | jq -r .id";

pub(crate) const HISTORY_EXAMPLES: &str = "\
Examples:
  sotto history show --profile alice bob@chat.acme.example
  sotto history show --profile alice --conversation 3f9a --limit 20 -o json
  sotto history search --profile alice invoice march
  sotto history save --profile alice 5c1d downloads        # the file of a message, also later

A message or a conversation is named by its id, or by as much of the beginning as is unambiguous.";

pub(crate) const CHANGE_EXAMPLES: &str = "\
Examples:
  sotto edit --profile alice 5c1d 'See you at 10'
  sotto delete --profile alice 5c1d
  sotto react --profile alice 5c1d 👍
  sotto react --profile alice 5c1d 👍 --remove
  sotto pin --profile alice 5c1d
  sotto forward --profile alice 5c1d carol@chat.acme.example

A message is named by its id (`sotto history show` prints it), or by as much of the beginning as is unambiguous. It is done
here at once, and everybody else hears of it: the command waits for the relay to have it. When the relay cannot be
reached, the exit code is 4 and it stays in the outbox.";

pub(crate) const OUTBOX_EXAMPLES: &str = "\
Examples:
  sotto send --profile alice --queue bob@chat.acme.example 'When there is a network'
  sotto outbox --profile alice                    # what waits
  sotto outbox --profile alice --flush            # send it now
  sotto outbox --profile alice --cancel 5c1d      # not this one

`sotto receive --follow` and `sotto chat` send what waits, too.";

pub(crate) const READ_EXAMPLES: &str = "\
Examples:
  sotto read --profile alice bob@chat.acme.example
  sotto read --profile alice --conversation 3f9a

Messages that burn after reading begin to burn. Senders are told where the network and your settings say so.";

pub(crate) const SETTINGS_EXAMPLES: &str = "\
Examples:
  sotto settings --profile alice
  sotto settings --profile alice --read-receipts off";

/// `sotto conversations`.
#[derive(Debug, Args)]
pub(crate) struct ConversationsArgs {
    /// The profile to look into.
    #[command(flatten)]
    pub(crate) profile: ProfileArgs,
    /// Only those with unread messages
    #[arg(long)]
    pub(crate) unread: bool,
    /// Form of the output
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: TextFormat,
}

/// Which conversation.
#[derive(Debug, Args)]
pub(crate) struct WhereArgs {
    /// The addresses of the others in it
    #[arg(value_name = "ADDRESS")]
    pub(crate) people: Vec<String>,
    /// The conversation's id instead, or its beginning
    #[arg(long, visible_alias = "room", value_name = "ID", conflicts_with = "people")]
    pub(crate) conversation: Option<String>,
}

/// `sotto history show`.
#[derive(Debug, Args)]
pub(crate) struct HistoryShowArgs {
    /// The profile to look into.
    #[command(flatten)]
    pub(crate) profile: ProfileArgs,
    /// Which conversation; all when absent
    #[command(flatten)]
    pub(crate) place: WhereArgs,
    /// At most so many: the last ones
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub(crate) limit: u32,
    /// Those before this position (`position` of -o json), to look further back
    #[arg(long, value_name = "POSITION")]
    pub(crate) before: Option<u64>,
    /// Form of the output
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: TextFormat,
}

/// `sotto history search`.
#[derive(Debug, Args)]
pub(crate) struct HistorySearchArgs {
    /// The profile to look into.
    #[command(flatten)]
    pub(crate) profile: ProfileArgs,
    /// Words, or parts of them; capitals do not matter
    #[arg(required = true, value_name = "WORD")]
    pub(crate) words: Vec<String>,
    /// At most so many
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub(crate) limit: u32,
    /// Form of the output
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: TextFormat,
}

/// `sotto history save`.
#[derive(Debug, Args)]
pub(crate) struct HistorySaveArgs {
    /// The profile to fetch with.
    #[command(flatten)]
    pub(crate) profile: ProfileArgs,
    /// The message
    pub(crate) message: String,
    /// The folder to save into
    #[arg(default_value = ".", value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Form of the output
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: TextFormat,
}

/// What a command that changes a message has in common with the others.
#[derive(Debug, Args)]
pub(crate) struct ChangeArgs {
    /// The profile to do it with.
    #[command(flatten)]
    pub(crate) profile: ProfileArgs,
    /// The message
    pub(crate) message: String,
    /// Only put it into the outbox: do not wait for the relay
    #[arg(long)]
    pub(crate) queue: bool,
    /// Form of the output
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: TextFormat,
}

/// `sotto edit`.
#[derive(Debug, Args)]
pub(crate) struct EditArgs {
    /// Which message.
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
    /// The new words
    pub(crate) text: String,
}

/// `sotto react`.
#[derive(Debug, Args)]
pub(crate) struct ReactArgs {
    /// Which message.
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
    /// One emoji
    pub(crate) emoji: String,
    /// Take it away again
    #[arg(long)]
    pub(crate) remove: bool,
}

/// `sotto pin`.
#[derive(Debug, Args)]
pub(crate) struct PinArgs {
    /// Which message.
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
    /// Take the pin away
    #[arg(long)]
    pub(crate) remove: bool,
}

/// `sotto forward`.
#[derive(Debug, Args)]
pub(crate) struct ForwardArgs {
    /// Which message.
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
    /// Where to.
    #[command(flatten)]
    pub(crate) to: WhereArgs,
}

/// `sotto outbox`.
#[derive(Debug, Args)]
pub(crate) struct OutboxArgs {
    /// The profile to look into.
    #[command(flatten)]
    pub(crate) profile: ProfileArgs,
    /// Send what waits
    #[arg(long, conflicts_with = "cancel")]
    pub(crate) flush: bool,
    /// Take this message out, where the relay cannot have it yet
    #[arg(long, value_name = "MESSAGE")]
    pub(crate) cancel: Option<String>,
    /// For --flush: give up after this time
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "1m", requires = "flush")]
    pub(crate) timeout: Duration,
    /// Form of the output
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: TextFormat,
}

/// `sotto read`.
#[derive(Debug, Args)]
pub(crate) struct ReadArgs {
    /// The profile that has read.
    #[command(flatten)]
    pub(crate) profile: ProfileArgs,
    /// Which conversation.
    #[command(flatten)]
    pub(crate) place: WhereArgs,
}

/// `sotto settings`.
#[derive(Debug, Args)]
pub(crate) struct SettingsArgs {
    /// The profile to set.
    #[command(flatten)]
    pub(crate) profile: ProfileArgs,
    /// Tell senders that their messages were read, where the network leaves it to you
    #[arg(long, value_name = "on|off", value_parser = on_or_off)]
    pub(crate) read_receipts: Option<bool>,
    /// Form of the output
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: TextFormat,
}

fn on_or_off(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        other => Err(format!("`{other}` is neither `on` nor `off`")),
    }
}
