//! The command line: every command, option and help text. The forms are a promise to scripts: add, do not change.

mod devices;
mod kube;
mod talk;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use devices::*;
pub(crate) use kube::*;
pub(crate) use talk::*;

/// Shown below every help text.
const AFTER: &str = "\
Exit codes: 0 done; 1 failed; 2 wrong usage; 3 refused by policy or trust; 4 not reachable, try again later.
Results go to standard output, progress and prompts to standard error.";

/// Sotto: open, self-hosted, end-to-end encrypted messaging.
#[derive(Debug, Parser)]
#[command(name = "sotto", version, after_help = AFTER, after_long_help = AFTER, propagate_version = true)]
#[command(subcommand_required = true, arg_required_else_help = true, max_term_width = 110)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// One verb each.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the networks of a folder of manifests on this machine
    #[command(
        after_help = "Examples:\n  sotto up examples/manifests\n  sotto up examples/manifests --until-ready && sotto status && sotto down"
    )]
    Up(UpArgs),
    /// Show the objects with their conditions, of the local runner or of the cluster
    #[command(after_help = "Examples:\n  sotto status\n  sotto status -o json | jq '.items[].status.conditions'")]
    Status(StatusArgs),
    /// Print the invite of a user who has not registered
    #[command(after_help = "Examples:\n  sotto invite alice\n  sotto join \"$(sotto invite alice)\" --profile alice")]
    Invite(InviteArgs),
    /// Stop what `sotto up` has started
    Down(DownArgs),
    /// Register by an invite, or add this device by the link that another one of yours prints
    #[command(after_help = JOIN_EXAMPLES)]
    Join(JoinArgs),
    /// Send a message or a file
    #[command(after_help = SEND_EXAMPLES)]
    Send(SendArgs),
    /// Print messages that have come, and keep them in the local store
    #[command(after_help = RECEIVE_EXAMPLES)]
    Receive(ReceiveArgs),
    /// List conversations, the newest first
    #[command(after_help = CONVERSATIONS_EXAMPLES)]
    Conversations(ConversationsArgs),
    /// Mark a conversation as read
    #[command(after_help = READ_EXAMPLES)]
    Read(ReadArgs),
    /// Change the words of a message of yours
    #[command(after_help = CHANGE_EXAMPLES)]
    Edit(EditArgs),
    /// Take a message back: everybody's copy but a retained one is deleted
    #[command(after_help = CHANGE_EXAMPLES)]
    Delete(ChangeArgs),
    /// Put a reaction on a message
    #[command(after_help = CHANGE_EXAMPLES)]
    React(ReactArgs),
    /// Pin a message in its conversation
    #[command(after_help = CHANGE_EXAMPLES)]
    Pin(PinArgs),
    /// Say a message again elsewhere
    #[command(after_help = CHANGE_EXAMPLES)]
    Forward(ForwardArgs),
    /// List what waits to be sent; send it, or take it out
    #[command(after_help = OUTBOX_EXAMPLES)]
    Outbox(OutboxArgs),
    /// Show or change what is the user's choice
    #[command(after_help = SETTINGS_EXAMPLES)]
    Settings(SettingsArgs),
    /// Talk on this terminal: conversations, rooms, files, search
    #[command(after_help = CHAT_EXAMPLES)]
    Chat(crate::chat::ChatArgs),
    /// Make rooms, show them, and change who is in them
    #[command(after_help = crate::commands::room::EXAMPLES)]
    Room(crate::commands::room::RoomArgs),
    /// Show who this profile is, with fingerprints to compare
    #[command(
        after_help = "Examples:\n  sotto whoami --profile alice\n  sotto whoami --profile alice -o json | jq -r .fingerprint"
    )]
    Whoami(WhoamiArgs),
    /// List the devices of this user; add, approve and remove them
    #[command(after_help = devices::DEVICES_EXAMPLES)]
    Devices(DevicesArgs),
    /// Make the key that adds a device when no other one is at hand
    #[command(after_help = devices::RECOVERY_EXAMPLES)]
    RecoveryKey(RecoveryArgs),
    /// Change the password
    #[command(after_help = devices::PASSWORD_EXAMPLES)]
    Password(PasswordArgs),
    /// Choose what opens a profile: a file, the password, the system's keyring
    #[command(after_help = "Example:\n  sotto unlock keyring --profile alice")]
    Unlock(UnlockArgs),
    /// Look into the local history, or move it from one of your devices to another
    #[command(after_help = devices::HISTORY_EXAMPLES)]
    History(HistoryArgs),
    /// Show the safety number with somebody, mark it as compared, or accept a change
    #[command(after_help = VERIFY_EXAMPLES)]
    Verify(VerifyArgs),
    /// Run a relay (server)
    Relay(ServerArgs),
    /// Run a federation gateway (server)
    Gateway(ServerArgs),
    /// Run a retention process (server)
    Retention(ServerArgs),
    /// Run the Kubernetes operator (server)
    #[command(after_help = OPERATOR_VARIABLES)]
    Operator,
    /// Print the custom resource definitions as YAML, or migrate what is stored to them
    #[command(after_help = crate::commands::crds::EXAMPLES)]
    Crds(crate::commands::crds::CrdsArgs),
    /// What administrators do with a cluster: the same as `kubectl sotto`
    #[command(after_help = kube::KUBE_EXAMPLES, after_long_help = kube::KUBE_EXAMPLES)]
    Kube(Box<KubeArgs>),
    /// Bring users in by the thousand
    Users(Box<UsersTopArgs>),
    /// Print a script by which a shell completes this program's words
    #[command(after_help = COMPLETION_EXAMPLES)]
    Completion(crate::commands::manual::CompletionArgs),
    /// Print the manual page, or write one a command into a folder
    #[command(after_help = "Examples:\n  sotto man | man -l -\n  sotto man ~/.local/share/man/man1 && man sotto-send")]
    Man(crate::commands::manual::ManArgs),
}

const CHAT_EXAMPLES: &str = "\
Examples:
  sotto chat --profile alice
  NO_COLOR=1 sotto chat --profile alice --password-file alice.password

F1 shows every key; F2 shows what can be done; Ctrl+Q ends it. It needs a terminal of at least 20 columns and 8 rows, and shows
list and conversation side by side from 60 columns on.";

const COMPLETION_EXAMPLES: &str = "\
Examples:
  sotto completion bash > ~/.local/share/bash-completion/completions/sotto
  sotto completion zsh > ~/.zfunc/_sotto
  sotto completion fish > ~/.config/fish/completions/sotto.fish";

const OPERATOR_VARIABLES: &str = "\
Set by environment variables, all of them optional (the Helm chart sets them):
  SOTTO_IMAGE              image of relays, gateways and retention processes
  SOTTO_IMAGE_PULL_POLICY  Always, IfNotPresent or Never
  SOTTO_WATCH_NAMESPACES   namespaces to look after, separated by commas; empty: all
  SOTTO_LISTEN             where health and metrics are served [default: 0.0.0.0:8080]
  SOTTO_LOG                how much is logged, such as info or debug
  KUBECONFIG               the cluster, outside of one";

const JOIN_EXAMPLES: &str = "\
Examples:
  sotto join 'sotto://relay.acme.example/join?user=alice@chat.acme.example&code=…' --profile alice
  sotto join \"$(sotto invite alice)\" --profile alice --password-file alice.password
  sotto join \"$(sotto invite alice)\" --profile alice --replace   # the password was lost, and this is the new invite
  sotto join 'sotto://relay.acme.example/link?…' --profile laptop  # as `sotto devices link` prints it elsewhere

Where the security group wants new devices to be approved, a code is shown, to be given to `sotto devices approve` on
another device; or give --recovery-key-file.

An interrupted join can be run again with the same invite and password. Without --require-password an `unlock.key`
file (mode 0600) beside the store opens it without the password, so that scripts can send and receive: whoever can
read that file can read the store.";

const SEND_EXAMPLES: &str = "\
Examples:
  sotto send --profile alice bob@chat.acme.example 'Good morning'
  sotto send --profile alice bob@chat.acme.example carol@chat.beta.example 'To both of you'
  date | sotto send --profile alice bob@chat.acme.example -
  sotto send --profile alice bob@chat.acme.example --file report.pdf 'The report' --expires 7d
  sotto send --profile alice bob@chat.acme.example --file hello.ogg --voice --duration 4s
  sotto send --profile alice --conversation 3f9a 'To everybody in it' --reply-to 5c1d
  sotto send --profile alice --queue bob@chat.acme.example 'When there is a network'

Everybody whose address is given is in one conversation. The last argument is the text unless it is an address
itself; put `--` before words that start with a dash.";

const RECEIVE_EXAMPLES: &str = "\
Examples:
  sotto receive --profile bob                       # what is waiting, then end
  sotto receive --profile bob --timeout 10s         # wait up to 10 s for at least one message
  sotto receive --profile bob --follow -o json      # one JSON object a line until Ctrl-C
  sotto receive --profile bob --save-dir downloads  # save files too";

const VERIFY_EXAMPLES: &str = "\
Examples:
  sotto verify --profile alice                              # everybody known, with their state
  sotto verify --profile alice bob@chat.acme.example        # the safety number to compare, by voice or in person
  sotto verify --profile alice bob@chat.acme.example --confirm
  sotto verify --profile alice bob@chat.acme.example --confirm '01234 56789 …'   # the number that they have read out
  sotto verify --profile alice bob@chat.acme.example --accept-change";

/// The profile that a person's command works on.
#[derive(Debug, Args)]
pub(crate) struct ProfileArgs {
    /// Name of the profile: a folder under SOTTO_HOME (default: the platform's data folder)
    #[arg(long, short = 'p', env = "SOTTO_PROFILE", default_value = "default", value_name = "P")]
    pub(crate) profile: String,
    /// File with the profile's password, where the profile asks for it
    #[arg(long, env = "SOTTO_PASSWORD_FILE", value_name = "F", hide_env_values = true)]
    pub(crate) password_file: Option<PathBuf>,
}

/// Text for people or JSON for programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum TextFormat {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

/// How `status` prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum TableFormat {
    /// For people
    #[default]
    Table,
    /// A Kubernetes `List`
    Json,
    /// A Kubernetes `List`
    Yaml,
}

/// `sotto up`.
#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// Folder of manifests; watched for changes
    pub(crate) dir: PathBuf,
    /// Folder of state, kept between runs
    #[arg(long, default_value = ".sotto", value_name = "DIR")]
    pub(crate) state: PathBuf,
    /// Return when everything is ready and leave it running; `sotto down` ends it
    #[arg(long)]
    pub(crate) until_ready: bool,
    /// Be the process in the background (for `--until-ready` itself)
    #[arg(long, hide = true, conflicts_with = "until_ready")]
    pub(crate) in_background: bool,
    /// With json and --until-ready: the objects when all is ready, as `sotto status` prints them, on one line
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: TextFormat,
}

/// Whose objects, where a cluster is asked.
#[derive(Debug, Args)]
pub(crate) struct NamespaceArgs {
    /// Namespace in the cluster [default: the kubeconfig's]
    #[arg(long, short, value_name = "NS", conflicts_with_all = ["all_namespaces", "state"])]
    pub(crate) namespace: Option<String>,
    /// All namespaces of the cluster
    #[arg(long, short = 'A', conflicts_with = "state")]
    pub(crate) all_namespaces: bool,
}

/// `sotto status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// State folder of the local runner; without it `.sotto` where that exists, and otherwise the cluster
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// Form of the output
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: TableFormat,
    /// Whose objects, where a cluster is asked.
    #[command(flatten)]
    pub(crate) namespace: NamespaceArgs,
}

/// `sotto invite`.
#[derive(Debug, Args)]
pub(crate) struct InviteArgs {
    /// Name of the `User` object, or the address
    pub(crate) user: String,
    /// Name of the `Network` object, where the user's name stands in more than one
    #[arg(long, value_name = "NET")]
    pub(crate) network: Option<String>,
    /// State folder of the local runner; without it `.sotto` where that exists, and otherwise the cluster
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// Whose objects, where a cluster is asked.
    #[command(flatten)]
    pub(crate) namespace: NamespaceArgs,
    /// Form of the output
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: TextFormat,
}

/// `sotto down`.
#[derive(Debug, Args)]
pub(crate) struct DownArgs {
    /// Folder of state
    #[arg(long, default_value = ".sotto", value_name = "DIR")]
    pub(crate) state: PathBuf,
    /// Form of the output
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: TextFormat,
}

/// `sotto join`.
#[derive(Debug, Args)]
pub(crate) struct JoinArgs {
    /// The invite, as `sotto invite` prints it; or the link, as `sotto devices link` prints it
    pub(crate) invite: String,
    /// The profile to make. Its password comes from the file, or else from the terminal
    #[command(flatten)]
    pub(crate) profile: ProfileArgs,
    /// Name of this device for people [default: the machine's name]
    #[arg(long, value_name = "NAME")]
    pub(crate) label: Option<String>,
    /// Ask for the password whenever the profile is used: no `unlock.key` is written (as --unlock password)
    #[arg(long, conflicts_with = "unlock")]
    pub(crate) require_password: bool,
    /// What opens the profile beside its password [default: file]
    #[arg(long, value_enum, value_name = "WAY")]
    pub(crate) unlock: Option<UnlockChoice>,
    /// With a new invite, after the password was lost: set the old profile aside, and take its history over where it opens
    #[arg(long)]
    pub(crate) replace: bool,
    /// File with the recovery key, instead of an approval
    #[arg(long, value_name = "F", conflicts_with = "replace")]
    pub(crate) recovery_key_file: Option<PathBuf>,
    /// Wait so long for an approval; run again, it goes on with the same code
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,
    /// Form of the output
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: TextFormat,
}

/// `sotto send`.
#[derive(Debug, Args)]
pub(crate) struct SendArgs {
    /// The profile to send from.
    #[command(flatten)]
    pub(crate) profile: ProfileArgs,
    /// Addresses, then the text, or `-` for standard input
    #[arg(required_unless_present = "conversation", value_name = "ADDRESS… [TEXT|-]")]
    pub(crate) words: Vec<String>,
    /// To this conversation (its id or the beginning, see `sotto conversations`) instead of addresses
    #[arg(long, visible_alias = "room", value_name = "ID")]
    pub(crate) conversation: Option<String>,
    /// As the answer to this message
    #[arg(long, value_name = "MESSAGE")]
    pub(crate) reply_to: Option<String>,
    /// Name somebody of the conversation, who is told of it
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) mention: Vec<String>,
    /// Delete a reader's copy this long after it was read, and the own one this long after sending
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) burn: Option<Duration>,
    /// The file is a voice message
    #[arg(long, requires = "file", conflicts_with = "video")]
    pub(crate) voice: bool,
    /// The file is a video message
    #[arg(long, requires = "file")]
    pub(crate) video: bool,
    /// How long the file plays
    #[arg(long, requires = "file", value_name = "TIME", value_parser = duration)]
    pub(crate) duration: Option<Duration>,
    /// A small picture of the file (JPEG or PNG, at most 16 KiB)
    #[arg(long, requires = "file", value_name = "F")]
    pub(crate) preview: Option<PathBuf>,
    /// Send the quick response of this number, as `sotto settings` lists them
    #[arg(long, value_name = "N", conflicts_with = "file")]
    pub(crate) quick: Option<usize>,
    /// Only put it into the outbox: do not wait for the relay
    #[arg(long)]
    pub(crate) queue: bool,
    /// Send this file; a text becomes its caption
    #[arg(long, value_name = "F")]
    pub(crate) file: Option<PathBuf>,
    /// Delete every copy but a retained one after this time, such as 30s, 10m, 1h or 7d
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) expires: Option<Duration>,
    /// Form of the output
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: TextFormat,
}

/// `sotto receive`.
#[derive(Debug, Args)]
pub(crate) struct ReceiveArgs {
    /// The profile to receive for.
    #[command(flatten)]
    pub(crate) profile: ProfileArgs,
    /// Stay, print messages as they come, and connect again when the connection breaks
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Form of the output
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: TextFormat,
    /// Without --follow: wait up to this time for at least one message; with it: end after this time
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,
    /// Save files that come into this folder. What cannot be fetched now is for `sotto history save`
    #[arg(long, value_name = "DIR")]
    pub(crate) save_dir: Option<PathBuf>,
    /// What is printed counts as read: it begins to burn, and its sender may be told
    #[arg(long)]
    pub(crate) mark_read: bool,
}

/// `sotto whoami`.
#[derive(Debug, Args)]
pub(crate) struct WhoamiArgs {
    /// The profile to show.
    #[command(flatten)]
    pub(crate) profile: ProfileArgs,
    /// Form of the output
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: TextFormat,
}

/// `sotto verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The profile to ask with.
    #[command(flatten)]
    pub(crate) profile: ProfileArgs,
    /// Whom to verify; everybody known when absent
    pub(crate) address: Option<String>,
    /// The safety number was compared and is the same: mark as verified. With the number that was compared, any other is
    /// refused
    #[arg(long, value_name = "NUMBER", num_args = 0..=1, default_missing_value = "", conflicts_with_all = ["forget", "accept_change"])]
    pub(crate) confirm: Option<String>,
    /// Take the mark away
    #[arg(long, requires = "address", conflicts_with = "accept_change")]
    pub(crate) forget: bool,
    /// Their identity has changed (they registered anew): accept the new one, unverified. You are told of the change until then
    #[arg(long, requires = "address")]
    pub(crate) accept_change: bool,
    /// Form of the output
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: TextFormat,
}

/// `sotto relay`, `sotto gateway`, `sotto retention`.
#[derive(Debug, Args)]
pub(crate) struct ServerArgs {
    /// Configuration file (YAML); the operator and `sotto up` write it
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
}

/// Reads `30s`, `10m`, `1h`, `7d`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no length of time; write a number and a unit: 30s, 10m, 1h or 7d");
    let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86400,
        _ => return Err(wrong()),
    };
    let seconds = number.checked_mul(seconds).filter(|s| *s > 0 && *s <= 10 * 365 * 86400).ok_or_else(wrong)?;
    Ok(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_forms_of_the_issue_parse() {
        for line in [
            "sotto up examples/manifests --state s --until-ready -o json",
            "sotto status --state s -o yaml",
            "sotto invite alice --network acme --state s -o json",
            "sotto join sotto://h/join?x --profile p --password-file f",
            "sotto send --profile p a@x.example b@x.example hello --expires 1h",
            "sotto send --profile p a@x.example - --file f",
            "sotto send --profile p a@x.example hello --queue --burn 10s --mention a@x.example --reply-to 5c",
            "sotto send --profile p --room 3f hello",
            "sotto send --profile p a@x.example --file f --voice --duration 4s --preview g",
            "sotto conversations --profile p --unread -o json",
            "sotto history show a@x.example --limit 3 -o json",
            "sotto history search two words",
            "sotto history save 5c1d downloads",
            "sotto read --conversation 3f",
            "sotto edit 5c1d words --queue",
            "sotto delete 5c1d -o json",
            "sotto react 5c1d x --remove",
            "sotto pin 5c1d --remove",
            "sotto forward 5c1d a@x.example b@x.example",
            "sotto outbox --flush --timeout 10s",
            "sotto outbox --cancel 5c1d",
            "sotto settings --read-receipts off",
            "sotto receive --profile p --follow -o json --timeout 10s",
            "sotto whoami --profile p -o json",
            "sotto join sotto://h/link?x --profile p --unlock keyring --recovery-key-file f --timeout 1h -o json",
            "sotto join sotto://h/join?x --profile p --require-password --replace",
            "sotto devices --profile p -o json",
            "sotto devices link --profile p",
            "sotto devices approve 0G7QK-01234 --yes -o json",
            "sotto devices approve",
            "sotto devices remove 00 --profile p --yes",
            "sotto devices reset --yes",
            "sotto recovery-key --profile p --remove",
            "sotto password --profile p --password-file old --new-password-file new",
            "sotto unlock keyring --profile p",
            "sotto history send 0G7QK-01234 --yes --timeout 1h",
            "sotto history receive -o json",
            "sotto history send --cancel",
            "sotto verify --profile p a@x.example --confirm",
            "sotto verify --profile p --confirm a@x.example",
            "sotto verify a@x.example --confirm 0123456789",
            "sotto devices --profile p",
            "sotto verify --profile p a@x.example --confirm",
            "sotto room create --profile p Plans a@x.example b@x.example --moderator c@x.example --expires 7d --burn 1h",
            "sotto room list --profile p --all -o json",
            "sotto room show Plans -o json",
            "sotto room add Plans a@x.example b@x.example",
            "sotto room remove Plans a@x.example",
            "sotto room leave Plans",
            "sotto room moderator Plans a@x.example --off",
            "sotto room title Plans New",
            "sotto room description Plans words",
            "sotto room expiry Plans 7d",
            "sotto room burn Plans off",
            "sotto room close Plans",
            "sotto down --state s -o json",
            "sotto relay --config f",
            "sotto gateway --config f",
            "sotto retention --config f",
            "sotto operator",
            "sotto crds",
            "sotto chat --profile p --mouse",
            "sotto kube -n chat status acme -o json",
            "sotto kube invite alice",
            "sotto kube reset lockout alice --wait --timeout 10s",
            "sotto kube policy diff manifests",
            "sotto kube must-gather",
            "sotto kube pause acme",
            "sotto kube resume acme",
            "sotto kube rotate acme",
            "sotto users import people.csv --network acme",
            "sotto users import - --network acme --output-dir d --prune --prune-limit 5 --report r -o json",
            "sotto users import f.csv --apply --dry-run --prune=delete --rate 50 --concurrency 4 --force-conflicts -n chat",
            "sotto users import f.csv --separator tab --skip-columns a,b --strict --group staff --set hr",
            "sotto completion bash",
            "sotto man pages",
        ] {
            Cli::try_parse_from(line.split(' ')).unwrap_or_else(|e| panic!("{line}: {e}"));
        }
    }

    #[test]
    fn times_have_a_unit() {
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("7d"), Ok(Duration::from_hours(7 * 24)));
        for bad in ["10", "s", "", "1w", "-1s", "0s", "99999999999999999999d", "4000d"] {
            assert!(duration(bad).unwrap_err().contains("30s"), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_time_panics(text in ".{0,20}") {
            let _ = duration(&text);
        }
    }
}
