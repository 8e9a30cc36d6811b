//! Forms of what administrators do with a cluster: `kube` (the same as `kubectl sotto`) and `users`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::{TextFormat, duration};
use crate::commands::manual::CompletionArgs;

pub(super) const KUBE_EXAMPLES: &str = "\
Examples:
  kubectl sotto status                         # the networks of the namespace as trees, with the causes of what is not ready
  kubectl sotto status acme --all -o json
  kubectl sotto invite alice
  kubectl sotto reset devices alice --wait
  kubectl sotto policy diff manifests/         # exit code 1 when files, cluster and relay do not agree
  kubectl sotto must-gather                    # an archive for who helps, without secrets

`kubectl sotto` is this program under the name kubectl-sotto, in a folder of PATH:
  ln -s \"$(command -v sotto)\" ~/.local/bin/kubectl-sotto
`sotto kube` does the same. It uses the kubeconfig, context and namespace that kubectl uses.";

pub(super) const IMPORT_EXAMPLES: &str = "\
Examples:
  sotto users import people.csv --network acme --output-dir manifests/users   # one file a person, for GitOps
  sotto users import people.csv --network acme > users.yaml
  sotto users import people.csv --network acme --apply --dry-run              # what the cluster says, without writing
  sotto users import people.csv --network acme --apply --prune --report report.json

Columns, by the heading in the first line, in any order: username (needed), firstName, lastName, email, securityGroup, suspended,
admin, inviteTtl, network, name (of the object; default: made from the username). Separated by commas, semicolons or tabs; UTF-8.

Every line is checked as the cluster would check it before anything is written. Lines that are refused are reported with line, field
and remedy, the others are taken over, and the exit code is 3. It can be run again at any time: what is as it should be is left alone.";

const STATUS_EXAMPLES: &str =
    "Examples:\n  kubectl sotto status\n  kubectl sotto status acme -n chat --all\n  kubectl sotto status -A -o json";
const INVITE_EXAMPLES: &str = "\
Examples:
  kubectl sotto invite alice
  kubectl sotto invite alice@chat.acme.example -o json
  kubectl sotto invite --all-pending -o json | jq -r '.[] | [.user, .invite] | @tsv'";
const RESET_EXAMPLES: &str = "\
Examples:
  kubectl sotto reset devices alice --wait     # a lost device: all devices, their queues and sessions go
  kubectl sotto reset invite alice --wait && kubectl sotto invite alice    # a lost password
  kubectl sotto reset lockout alice bob        # after wrong passwords";
const DIFF_EXAMPLES: &str = "\
Examples:
  kubectl sotto policy diff manifests/
  kustomize build overlays/prod | kubectl sotto policy diff - -o json

Compares Networks, SecurityGroups and RetentionPolicies, with defaults filled in, and says where the relay does not enforce yet what
the cluster has. Exit codes: 0 all agree; 1 they do not; 2 a file is wrong; 3 rights are missing; 4 not reachable.";
const GATHER_EXAMPLES: &str = "\
Examples:
  kubectl sotto must-gather
  kubectl sotto must-gather -A --since 2h --file case-17.tar.gz

In it: our objects, what the operator made of them, events about both, logs, metrics, versions. Never in it: what Secrets hold (they
are not read), names and e-mail addresses of people, texts. Usernames are in it. Look into it before you give it away:
  tar -xzf sotto-must-gather-….tar.gz";
const PAUSE_EXAMPLES: &str = "\
Examples:
  kubectl sotto pause acme                     # the Network with everything of it
  kubectl sotto pause user/alice
  kubectl sotto resume acme --wait";
const ROTATE_EXAMPLES: &str = "Example:\n  kubectl sotto rotate acme --wait";

// The program under the name `kubectl-sotto`; what is said of it below is its help.
#[derive(Debug, Parser)]
#[command(name = "kubectl-sotto", bin_name = "kubectl sotto", version, after_help = KUBE_EXAMPLES, after_long_help = KUBE_EXAMPLES)]
#[command(propagate_version = true, max_term_width = 110)]
/// Sotto's networks in a cluster: status with causes, invites, resets, policy diff, must-gather
pub(crate) struct Plugin {
    /// What to do.
    #[command(flatten)]
    pub(crate) kube: KubeArgs,
}

/// `sotto kube`.
#[derive(Debug, Args)]
pub(crate) struct KubeArgs {
    /// Which cluster.
    #[command(flatten)]
    pub(crate) access: AccessArgs,
    /// What to do.
    #[command(subcommand)]
    pub(crate) action: KubeAction,
}

/// Which cluster, which namespace, as whom.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Cluster")]
pub(crate) struct AccessArgs {
    /// Namespace [default: the context's]
    #[arg(long, short, value_name = "NS", global = true)]
    pub(crate) namespace: Option<String>,
    /// Context of the kubeconfig [default: its current one]
    #[arg(long, value_name = "NAME", global = true)]
    pub(crate) context: Option<String>,
    /// The kubeconfig [default: KUBECONFIG, ~/.kube/config, or the pod's account]
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Act as this user
    #[arg(long = "as", value_name = "USER", global = true)]
    pub(crate) act_as: Option<String>,
    /// Act as a member of this group
    #[arg(long = "as-group", value_name = "GROUP", global = true)]
    pub(crate) act_as_groups: Vec<String>,
    /// Form of the output
    #[arg(long, short, value_enum, default_value_t, global = true)]
    pub(crate) output: TextFormat,
}

/// What can be done with a cluster.
#[derive(Debug, Subcommand)]
pub(crate) enum KubeAction {
    /// Show networks as trees: parts, groups, users, retention, with the causes of what is not ready
    #[command(after_help = STATUS_EXAMPLES)]
    Status(KubeStatusArgs),
    /// Print the invite of a user who has not registered; it is in a Secret, which one has to be allowed to read
    #[command(after_help = INVITE_EXAMPLES)]
    Invite(KubeInviteArgs),
    /// Ask for a reset of users: devices, invite or lockout
    #[command(after_help = RESET_EXAMPLES)]
    Reset(ResetArgs),
    /// What is enforced, against manifests
    #[command(subcommand)]
    Policy(PolicyAction),
    /// Gather what somebody who helps needs to see into one archive, without secrets
    #[command(after_help = GATHER_EXAMPLES)]
    MustGather(GatherArgs),
    /// Stop the operator from changing an object: of a Network, everything of it
    #[command(after_help = PAUSE_EXAMPLES)]
    Pause(PauseArgs),
    /// Let the operator go on with an object
    #[command(after_help = PAUSE_EXAMPLES)]
    Resume(PauseArgs),
    /// Ask for new certificates of a network now
    #[command(after_help = ROTATE_EXAMPLES)]
    Rotate(RotateArgs),
    /// Bring users in by the thousand
    Users(UsersArgs),
    /// Print a script by which a shell completes `kubectl-sotto`
    #[command(hide = true)]
    Completion(CompletionArgs),
}

/// `kubectl sotto status`.
#[derive(Debug, Args)]
pub(crate) struct KubeStatusArgs {
    /// Only this network
    pub(crate) network: Option<String>,
    /// All namespaces
    #[arg(long, short = 'A', conflicts_with = "namespace")]
    pub(crate) all_namespaces: bool,
    /// Each user, group and policy on a line of its own
    #[arg(long)]
    pub(crate) all: bool,
}

/// `kubectl sotto invite`.
#[derive(Debug, Args)]
pub(crate) struct KubeInviteArgs {
    /// Name of the `User` object, or the address
    #[arg(required_unless_present = "all_pending")]
    pub(crate) user: Option<String>,
    /// Everybody who has not registered
    #[arg(long, conflicts_with = "user")]
    pub(crate) all_pending: bool,
}

/// What of a user is reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ResetWhat {
    /// All devices are removed, with queues and sessions
    Devices,
    /// A new invite; who opens it starts anew, with a new identity
    Invite,
    /// A lockout after wrong passwords ends
    Lockout,
}

/// `kubectl sotto reset`.
#[derive(Debug, Args)]
pub(crate) struct ResetArgs {
    /// What
    #[arg(value_enum)]
    pub(crate) what: ResetWhat,
    /// Names of `User` objects, or addresses
    #[arg(required = true, value_name = "USER")]
    pub(crate) users: Vec<String>,
    /// The word that is written into spec.reset; the same word is acted on once [default: the time]
    #[arg(long)]
    pub(crate) word: Option<String>,
    /// How it is waited for.
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

/// Waiting until the operator has done it.
#[derive(Clone, Debug, Args)]
pub(crate) struct WaitArgs {
    /// Wait until it is done
    #[arg(long)]
    pub(crate) wait: bool,
    /// Wait so long at most
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = duration)]
    pub(crate) timeout: Duration,
}

/// `kubectl sotto policy`.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyAction {
    /// Compare manifests with the cluster, and with what the relay enforces
    #[command(after_help = DIFF_EXAMPLES)]
    Diff(DiffArgs),
}

/// `kubectl sotto policy diff`.
#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// Files and folders of manifests; `-` for standard input
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
}

/// `kubectl sotto must-gather`.
#[derive(Debug, Args)]
pub(crate) struct GatherArgs {
    /// The archive, which must not be there yet [default: sotto-must-gather-TIME.tar.gz]
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// All namespaces
    #[arg(long, short = 'A', conflicts_with = "namespace")]
    pub(crate) all_namespaces: bool,
    /// Logs from so long ago on [default: all that there is]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) since: Option<Duration>,
}

/// `kubectl sotto pause` and `resume`.
#[derive(Debug, Args)]
pub(crate) struct PauseArgs {
    /// The object: KIND/NAME; a bare name is a Network's
    pub(crate) object: String,
    /// How it is waited for.
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

/// `kubectl sotto rotate`.
#[derive(Debug, Args)]
pub(crate) struct RotateArgs {
    /// The network
    pub(crate) network: String,
    /// The word that asks for it; the same word is acted on once [default: the time]
    #[arg(long)]
    pub(crate) word: Option<String>,
    /// How it is waited for.
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

/// `sotto users`, by itself.
#[derive(Debug, Args)]
pub(crate) struct UsersTopArgs {
    /// Which cluster.
    #[command(flatten)]
    pub(crate) access: AccessArgs,
    /// What to do.
    #[command(flatten)]
    pub(crate) users: UsersArgs,
}

/// `sotto users`.
#[derive(Debug, Args)]
pub(crate) struct UsersArgs {
    /// What to do.
    #[command(subcommand)]
    pub(crate) action: UsersAction,
}

/// What can be done with many users.
#[derive(Debug, Subcommand)]
pub(crate) enum UsersAction {
    /// Make `User` objects of a table of people: manifests, or in the cluster
    #[command(after_help = IMPORT_EXAMPLES)]
    Import(Box<ImportArgs>),
}

/// What becomes of people who are not in the table any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PruneWhat {
    /// They are out at once, nothing is deleted, and back when they are in the table again
    Suspend,
    /// Their objects go, with devices and what waits for them
    Delete,
}

/// `sotto users import`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "switches of a command line, each on its own")]
pub(crate) struct ImportArgs {
    /// The table (CSV with a heading); `-` for standard input
    pub(crate) file: PathBuf,
    /// The Network of those whose line names none
    #[arg(long, value_name = "NET")]
    pub(crate) network: Option<String>,
    /// The SecurityGroup of those whose line names none [default: the network's default group]
    #[arg(long, value_name = "GROUP")]
    pub(crate) group: Option<String>,
    /// Write one manifest a person into this folder; without it and without --apply all go to standard output
    #[arg(long, value_name = "DIR", conflicts_with = "apply")]
    pub(crate) output_dir: Option<PathBuf>,
    /// Create and change the objects in the cluster, by server-side apply
    #[arg(long)]
    pub(crate) apply: bool,
    /// Write nothing, and say what would be written; with --apply the cluster checks it too
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Suspend who was imported and is not in the table any more; `--prune=delete` deletes. Not when a line is refused
    #[arg(long, value_enum, value_name = "HOW", num_args = 0..=1, require_equals = true, default_missing_value = "suspend")]
    pub(crate) prune: Option<PruneWhat>,
    /// Prune so many people at most [default: 10, or a tenth of the set]
    #[arg(long, value_name = "N", requires = "prune")]
    pub(crate) prune_limit: Option<usize>,
    /// The set that this table is all of; --prune looks at nobody else
    #[arg(long, value_name = "NAME", default_value = "users")]
    pub(crate) set: String,
    /// Write nothing at all when a line is refused
    #[arg(long)]
    pub(crate) strict: bool,
    /// Write the report into this file too, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Take over fields that somebody else has changed
    #[arg(long, requires = "apply")]
    pub(crate) force_conflicts: bool,
    /// Calls of the API begun in a second, 1 to 1000
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rate: u32,
    /// Calls of the API under way at a time, 1 to 64
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) concurrency: u8,
    /// What stands between values [default: the one of , ; and tab that the heading has]
    #[arg(long, value_name = "C", value_parser = separator)]
    pub(crate) separator: Option<u8>,
    /// Columns that do not matter
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) skip_columns: Vec<String>,
}

fn separator(text: &str) -> Result<u8, String> {
    match text {
        "\\t" | "tab" => Ok(b'\t'),
        one if one.len() == 1 && !one.contains(['"', '\n', '\r']) => Ok(one.as_bytes()[0]),
        _ => Err("write one character, or tab".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_plugin_is_consistent_and_its_forms_parse() {
        Plugin::command().debug_assert();
        for line in [
            "kubectl-sotto status",
            "kubectl-sotto -n chat status acme --all -o json",
            "kubectl-sotto status -A --context c --kubeconfig f",
            "kubectl-sotto invite alice --as admin --as-group g",
            "kubectl-sotto invite --all-pending -o json",
            "kubectl-sotto reset devices alice bob --word w --wait --timeout 10s",
            "kubectl-sotto policy diff manifests more.yaml -n chat",
            "kubectl-sotto policy diff -",
            "kubectl-sotto must-gather --file f.tar.gz --since 2h -A",
            "kubectl-sotto pause user/alice --wait",
            "kubectl-sotto resume acme",
            "kubectl-sotto rotate acme --wait --word w",
            "kubectl-sotto users import f.csv --apply",
        ] {
            Plugin::try_parse_from(line.split(' ')).unwrap_or_else(|e| panic!("{line}: {e}"));
        }
        for line in
            ["kubectl-sotto", "kubectl-sotto invite", "kubectl-sotto reset devices", "kubectl-sotto status -A -n x"]
        {
            assert!(Plugin::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }

    /// Options that hold everywhere must not take the values of arguments: clap tells them apart by their fields' names.
    #[test]
    fn arguments_and_options_for_all_are_kept_apart() {
        fn walk(command: &clap::Command, globals: &[String]) {
            for argument in command.get_arguments().filter(|a| a.is_positional()) {
                assert!(
                    !globals.contains(&argument.get_id().to_string()),
                    "{}: {}",
                    command.get_name(),
                    argument.get_id()
                );
            }
            command.get_subcommands().for_each(|c| walk(c, globals));
        }
        let plugin = Plugin::command();
        let globals: Vec<String> = plugin.get_arguments().map(|a| a.get_id().to_string()).collect();
        assert!(globals.len() > 5);
        walk(&plugin, &globals);
        let parsed = Plugin::try_parse_from(["kubectl-sotto", "invite", "alice"]).unwrap();
        assert_eq!(parsed.kube.access.act_as, None);
    }

    #[test]
    fn separators_are_one_character() {
        assert_eq!((separator("tab"), separator(";")), (Ok(b'\t'), Ok(b';')));
        assert!(separator("ab").is_err() && separator("\"").is_err() && separator("ä").is_err());
    }
}
