//! `sotto users import`: a table of people becomes manifests, or User objects in a cluster.

use std::cell::Cell;
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use sotto_kubectl::import::run::{Settings, run as apply, surroundings};
use sotto_kubectl::import::{Checked, Options, Prune, PruneLimit, Report, check, files, plan, table};
use sotto_kubectl::output;
use tokio_util::sync::CancellationToken;

use super::kube::{connect, explain};
use crate::args::{AccessArgs, ImportArgs, PruneWhat, TextFormat, UsersAction, UsersArgs};
use crate::error::{CliError, Kind};
use crate::ui::Ui;

/// How many refused lines are shown; the report has all of them.
const SHOWN: usize = 50;

/// Runs the command.
pub(crate) async fn run(access: &AccessArgs, args: &UsersArgs, ui: Ui) -> Result<(), CliError> {
    let UsersAction::Import(args) = &args.action;
    import(access, args, ui).await
}

async fn import(access: &AccessArgs, args: &ImportArgs, ui: Ui) -> Result<(), CliError> {
    let json = access.output == TextFormat::Json;
    let to_stdout = !args.apply && args.output_dir.is_none();
    if json && to_stdout && !args.dry_run {
        return Err(CliError::usage("-o json prints the report, where the manifests would go")
            .hint("give --output-dir, --apply or --dry-run; or --report FILE without -o json"));
    }
    if args.prune.is_some() && to_stdout {
        return Err(CliError::usage("--prune needs to know who was there before").hint("give --output-dir or --apply"));
    }
    let bytes = read(&args.file)?;
    let table = table::read(&bytes, &args.skip_columns, args.separator)
        .map_err(|e| CliError::usage(format!("{}: {e}", args.file.display())))?;
    let options = Options {
        network: args.network.clone(),
        group: args.group.clone(),
        namespace: access.namespace.clone(),
        set: args.set.clone(),
    };
    let checked = check(&table, &options);
    if args.strict && !checked.refused.is_empty() {
        let report = Report { left: checked.people.len(), ..offline(&checked, args.dry_run) };
        return told(&report, args, json, true, ui);
    }
    let prune = args.prune.map(|what| match what {
        PruneWhat::Suspend => Prune::Suspend,
        PruneWhat::Delete => Prune::Delete,
    });
    let limit = PruneLimit(args.prune_limit);
    let report = if args.apply {
        in_cluster(access, args, checked, prune, limit, ui).await?
    } else if let Some(dir) = &args.output_dir {
        files::write(dir, &checked, prune, limit, args.dry_run).map_err(explain)?
    } else {
        if !args.dry_run {
            let text = files::text(&checked.people);
            ui.result(text.trim_end())?;
        }
        Report { created: checked.people.len(), ..offline(&checked, args.dry_run) }
    };
    told(&report, args, json, to_stdout && !args.dry_run, ui)
}

fn offline(checked: &Checked, dry_run: bool) -> Report {
    Report { lines: checked.lines, refused: checked.refused.clone(), dry_run, ..Report::default() }
}

fn read(file: &Path) -> Result<Vec<u8>, CliError> {
    if file == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes)?;
        return Ok(bytes);
    }
    std::fs::read(file).map_err(|e| CliError::usage(format!("{}: {e}", file.display())))
}

async fn in_cluster(
    access: &AccessArgs,
    args: &ImportArgs,
    checked: Checked,
    prune: Option<Prune>,
    limit: PruneLimit,
    ui: Ui,
) -> Result<Report, CliError> {
    let cluster = connect(access, false).await?;
    let around = surroundings(&cluster).await.map_err(explain)?;
    let lines = checked.lines;
    let plan = plan(checked, &around, &args.set, prune, limit).map_err(explain)?;
    if args.strict && !plan.refused.is_empty() {
        let left = plan.steps.len();
        let (refused, unchanged) = (plan.refused, plan.unchanged);
        return Ok(Report { lines, unchanged, refused, left, dry_run: args.dry_run, ..Report::default() });
    }
    let settings = Settings {
        concurrency: usize::from(args.concurrency),
        rate: args.rate,
        dry_run: args.dry_run,
        force: args.force_conflicts,
    };
    let stop = CancellationToken::new();
    let cancel = stop.clone();
    // Calls that are under way end in order; then it is said how far it came.
    let signal = tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            cancel.cancel();
        }
    });
    let meter = Meter::new();
    let report = apply(&cluster, lines, plan, settings, &stop, |done, total| meter.at(done, total, ui)).await;
    meter.end();
    signal.abort();
    Ok(report)
}

/// How far it is, on standard error: one line that changes on a terminal, and otherwise a line now and then.
struct Meter {
    begin: Instant,
    last: Cell<Instant>,
    terminal: bool,
    written: Cell<bool>,
}

impl Meter {
    fn new() -> Self {
        let now = Instant::now();
        Self { begin: now, last: Cell::new(now), terminal: std::io::stderr().is_terminal(), written: Cell::new(false) }
    }

    fn at(&self, done: usize, total: usize, ui: Ui) {
        let often = if self.terminal { Duration::from_millis(200) } else { Duration::from_secs(10) };
        let now = Instant::now();
        if now < self.last.get() + often {
            return;
        }
        self.last.set(now);
        let left = total.saturating_sub(done);
        let seconds = self.begin.elapsed().as_secs() * left as u64 / done.max(1) as u64;
        let line = format!("{done} of {total}, about {seconds} s to go");
        if self.terminal {
            self.written.set(true);
            let _ = write!(std::io::stderr().lock(), "\r{line}\x1b[K");
        } else {
            ui.note(&line);
        }
    }

    fn end(&self) {
        if self.written.get() {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }
}

/// Says what became of it. `quiet`: standard output is for something else.
fn told(report: &Report, args: &ImportArgs, json: bool, quiet: bool, ui: Ui) -> Result<(), CliError> {
    if let Some(file) = &args.report {
        let text = output::json_pretty(report).map_err(|e| CliError::failed(e.to_string()))?;
        std::fs::write(file, text + "\n").map_err(|e| CliError::failed(format!("{}: {e}", file.display())))?;
    }
    if json {
        ui.json(report)?;
    } else {
        for refusal in report.refused.iter().take(SHOWN) {
            ui.note(&refusal.to_string());
        }
        let more = report.refused.len().saturating_sub(SHOWN);
        if more > 0 {
            ui.note(&format!("and {more} more refused lines; --report FILE has all of them"));
        }
        let summary = report.summary();
        if quiet { ui.note(&summary) } else { ui.result(&summary)? }
    }
    if let Some(why) = &report.stopped {
        return Err(CliError::new(Kind::Unreachable, format!("{} not reached: {why}", report.left))
            .hint("run it again: what is done stays, and it goes on where it ended"));
    }
    if !report.refused.is_empty() {
        let nothing = if args.strict { "nothing was written; " } else { "" };
        return Err(CliError::new(
            Kind::Refused,
            format!("{nothing}{} of {} lines refused", report.refused.len(), report.lines),
        )
        .hint("put the lines right as each says, and run it again"));
    }
    Ok(())
}
