//! `make bench-operator`: what the operator costs with thousands of objects on a real API server, beside a bare client that writes
//! the same, and beside an operator made with controller-runtime that does a comparable job.

mod audit;
mod objects;
mod process;
mod replay;
mod rows;
mod run;
mod scene;
mod seen;
mod subject;
mod writer;

use std::time::{Duration, Instant};

use crate::{Failure, Outcome};

pub use self::objects::Size;
pub use self::rows::{Goal, Row, json, table};
use self::run::{Depth, Figures, run};
use self::scene::Scene;
use self::subject::{Which, build_peer};
use self::writer::Call;

/// What is to be measured.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Of the main run.
    pub size: Size,
    /// Whether all of it is also put into one namespace.
    pub one_namespace: bool,
    /// How long nothing happens.
    pub quiet: Duration,
    /// How many specs are changed.
    pub changes: usize,
    /// Whether the peer runs.
    pub peer: bool,
    /// Nothing but our own growth: for whoever looks for what costs so much.
    pub growth_only: bool,
}

impl Plan {
    /// As the environment says: `SOTTO_BENCH_NETWORKS`, `_NAMESPACES`, `_GROUPS` and `_USERS` (of each network), `_CHANGES`,
    /// `_QUIET_SECONDS`, `_PEER` and `_ONE_NAMESPACE` (0: not), `_GROWTH_ONLY` (1: yes).
    pub fn from_env() -> Outcome<Self> {
        let networks = number("NETWORKS", 1000)?;
        Ok(Self {
            size: Size {
                networks,
                namespaces: number("NAMESPACES", 20)?.clamp(1, networks.max(1)),
                groups: number("GROUPS", 5)?,
                users: number("USERS", 10)?,
            },
            one_namespace: number("ONE_NAMESPACE", 1)? > 0,
            quiet: Duration::from_secs(number("QUIET_SECONDS", 600)? as u64),
            changes: number("CHANGES", 240)?,
            peer: number("PEER", 1)? > 0,
            growth_only: number("GROWTH_ONLY", 0)? > 0,
        })
    }
}

fn number(name: &str, usual: usize) -> Outcome<usize> {
    let name = format!("SOTTO_BENCH_{name}");
    match std::env::var(&name) {
        Ok(text) if !text.is_empty() => {
            text.parse().map_err(|_| Failure(format!("{name} is `{text}`; write a number")))
        }
        _ => Ok(usual),
    }
}

/// Measures everything; a row for each figure.
pub fn measure(plan: &Plan) -> Outcome<Vec<Row>> {
    if plan.growth_only {
        return Ok(growth(&plan.size, &run(Which::Ours, plan, &plan.size, Depth::Growth)?, None, None));
    }
    if plan.peer {
        build_peer()?;
    }
    let ours = run(Which::Ours, plan, &plan.size, Depth::Everything)?;
    let bare = bare(&plan.size, ours.replay.clone())?;
    let peer = if plan.peer { Some(run(Which::Peer, plan, &plan.size, Depth::Everything)?) } else { None };
    let mut rows = growth(&plan.size, &ours, Some(bare), peer.as_ref());
    rows.extend(rest(plan, &ours, peer.as_ref()));
    if plan.one_namespace && plan.size.namespaces > 1 {
        let size = Size { namespaces: 1, ..plan.size.clone() };
        let ours = run(Which::Ours, plan, &size, Depth::Growth)?;
        rows.extend(growth(&size, &ours, Some(bare), peer.as_ref()));
    }
    Ok(rows)
}

/// The time in which a bare client writes what the operator and its users wrote.
fn bare(size: &Size, calls: Vec<Call>) -> Outcome<Duration> {
    let scene = Scene::new(size)?;
    let (count, begin) = (calls.len(), Instant::now());
    scene.create(size.all())?;
    let failed = scene.make(calls, true)?;
    let wall = begin.elapsed();
    eprintln!(
        "bare client: {} objects and {count} further writes in {:.1} s, {failed} of them refused",
        size.objects(),
        wall.as_secs_f64()
    );
    Ok(wall)
}

fn beside(peer: Option<&Figures>, more: &str) -> String {
    let name = if peer.is_some() { Which::Peer.name() } else { "nothing: the peer was left out" };
    format!("{name}{more}")
}

fn growth(size: &Size, ours: &Figures, bare: Option<Duration>, peer: Option<&Figures>) -> Vec<Row> {
    let text = size.text();
    let row = |what: &str, unit, ours: f64, beside: String, theirs: Option<f64>, goal| Row {
        workload: format!("{text}: {what}"),
        unit,
        ours,
        beside,
        theirs,
        goal,
    };
    let spread = if size.namespaces == 1 { ", over several namespaces" } else { "" };
    vec![
        row(
            "from empty to all Ready",
            "s",
            ours.wall.as_secs_f64(),
            format!("a bare client that makes the same {} + {} writes{spread}", size.objects(), ours.replay.len()),
            bare.map(|time| time.as_secs_f64()),
            Goal::Times(3.0),
        ),
        row(
            "processor of the operator from empty to all Ready",
            "cores",
            ours.cores(),
            beside(peer, &format!("{spread}; without keys, certificates, signatures, relays")),
            peer.map(Figures::cores),
            Goal::Below(1.0),
        ),
        row(
            "operator's memory, most",
            "MB",
            ours.peak,
            beside(peer, spread),
            peer.map(|peer| peer.peak),
            Goal::Below(120.0),
        ),
        row(
            "operator's memory, at rest",
            "MB",
            ours.rest,
            beside(peer, spread),
            peer.map(|peer| peer.rest),
            Goal::Below(120.0),
        ),
    ]
}

fn rest(plan: &Plan, ours: &Figures, peer: Option<&Figures>) -> Vec<Row> {
    let text = plan.size.text();
    let mut rows = Vec::new();
    let mut row = |what: &str, unit, of: &dyn Fn(&Figures) -> f64, more: &str, goal| {
        rows.push(Row {
            workload: format!("{text}: {what}"),
            unit,
            ours: of(ours),
            beside: beside(peer, more),
            theirs: peer.map(of),
            goal,
        });
    };
    let quiet = plan.quiet.as_secs_f64();
    let peer_quiet = run::quiet(Which::Peer, plan).as_secs_f64();
    row(
        &format!("API writes in {quiet:.0} quiet seconds but the lease"),
        "writes",
        &|f| f.quiet_writes,
        &format!(", in {peer_quiet:.0} s"),
        Goal::Zero,
    );
    row("one spec change to its status, p99", "s", &|f| f.percentile(0.99), "", Goal::Below(1.0));
    row("one spec change to its status, p50", "s", &|f| f.percentile(0.5), "", Goal::Below(1.0));
    row("restart of the operator to quiet", "s", &|f| f.restart.as_secs_f64(), "", Goal::Below(60.0));
    row("API writes of a restart but the lease", "writes", &|f| f.restart_writes, "", Goal::Zero);
    row("API reads of a reconcile of one unchanged object", "reads", &|f| f.poke_reads, "", Goal::Zero);
    row("API writes of a reconcile of one unchanged object", "writes", &|f| f.poke_writes, "", Goal::Zero);
    rows
}
