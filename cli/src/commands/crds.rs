//! `sotto crds`: the definitions, and the migration of what is stored.

use std::sync::atomic::{AtomicUsize, Ordering};

use clap::{Args, Subcommand};
use serde_json::json;
use sotto_operator::migrate::{self, MigrateError, Progress};

use super::status::unreachable;
use crate::args::TextFormat;
use crate::error::{CliError, Kind};
use crate::ui::Ui;

/// Shown by `--help`.
pub(crate) const EXAMPLES: &str = "\
Examples:
  sotto crds | kubectl apply --server-side -f -
  sotto crds migrate --dry-run       # what there is to do, and what the API server would refuse
  sotto crds migrate -o json";

const MIGRATE_EXAMPLES: &str = "\
Examples:
  sotto crds migrate --dry-run
  sotto crds migrate -o json | jq '.items[] | select(.done | not)'

It may be interrupted and run again. It needs the right to list and update objects of sotto.dev in all namespaces, and to get
customresourcedefinitions and update their status: a cluster administrator's.";

/// `sotto crds`.
#[derive(Debug, Args)]
pub(crate) struct CrdsArgs {
    /// What to do; without it the definitions are printed as YAML
    #[command(subcommand)]
    command: Option<CrdsCommand>,
}

#[derive(Debug, Subcommand)]
enum CrdsCommand {
    /// Bring the objects in the cluster into the form and version of the installed definitions
    #[command(after_help = MIGRATE_EXAMPLES)]
    Migrate(MigrateArgs),
}

/// `sotto crds migrate`.
#[derive(Debug, Args)]
struct MigrateArgs {
    /// Write nothing: ask the API server whether it would take each object
    #[arg(long)]
    dry_run: bool,
    /// Form of the output
    #[arg(long, short, value_enum, default_value_t)]
    output: TextFormat,
}

/// Runs the command.
pub(crate) async fn run(args: &CrdsArgs, ui: Ui) -> Result<(), CliError> {
    match &args.command {
        None => print(ui),
        Some(CrdsCommand::Migrate(args)) => migrate(args, ui).await,
    }
}

fn print(ui: Ui) -> Result<(), CliError> {
    for (_, document) in sotto_crds::yaml() {
        let document = document.trim_end();
        ui.result(&if document.starts_with("---") { document.to_owned() } else { format!("---\n{document}") })?;
    }
    Ok(())
}

async fn migrate(args: &MigrateArgs, ui: Ui) -> Result<(), CliError> {
    let told = AtomicUsize::new(0);
    let progress = |progress: Progress<'_>| {
        // Not a line for every page.
        let thousand = progress.objects / 1000;
        if thousand > told.swap(thousand, Ordering::Relaxed) {
            ui.note(&format!("{}: {} objects", progress.definition, progress.objects));
        }
    };
    let reports = migrate::migrate(args.dry_run, progress).await.map_err(explain)?;
    match args.output {
        TextFormat::Json => ui.json(&json!({"dryRun": args.dry_run, "items": reports}))?,
        TextFormat::Text => {
            for line in migrate::table(&reports, args.dry_run) {
                ui.result(&line)?;
            }
        }
    }
    let refused = migrate::refusals(&reports);
    for line in &refused {
        ui.note(line);
    }
    if refused.is_empty() {
        return Ok(());
    }
    let message = format!("{} objects could not be written, and their kinds are not migrated", refused.len());
    Err(CliError::new(Kind::Refused, message).hint("put them right as said above, and run it again"))
}

fn explain(error: MigrateError) -> CliError {
    match error {
        MigrateError::Remote(error) => unreachable(error),
        other => CliError::failed(other.to_string()),
    }
}
