//! One operator, from an empty API server to its restart.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Plan;
use super::audit::{Request, summary};
use super::objects::{Object, Size};
use super::process::{Meter, memory};
use super::replay;
use super::scene::Scene;
use super::seen::{Id, Seen};
use super::subject::{Subject, Which};
use super::writer::{Call, ours};
use crate::{Outcome, Steps, ensure};

/// How long everything may take to be Ready.
const GROWTH: Duration = Duration::from_mins(30);
/// How long one change may take before the bench gives up.
const CHANGE: Duration = Duration::from_mins(2);
/// How long an operator has to become quiet; what takes longer is given as this.
const SETTLE: Duration = Duration::from_mins(3);
/// The peer is watched no longer than this: it is not what the goal is about.
const PEER_QUIET: Duration = Duration::from_mins(1);

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// From empty to all Ready.
    Growth,
    /// And rest, changes, restart.
    Everything,
}

/// What was measured of one operator.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures {
    /// From the first object's creation until all are Ready.
    pub(super) wall: Duration,
    /// Seconds of processor time in this.
    pub(super) cpu: f64,
    /// Megabytes.
    pub(super) peak: f64,
    pub(super) rest: f64,
    pub(super) quiet_writes: f64,
    /// Seconds, sorted.
    pub(super) changes: Vec<f64>,
    pub(super) restart: Duration,
    pub(super) restart_writes: f64,
    /// For each object.
    pub(super) poke_reads: f64,
    pub(super) poke_writes: f64,
    /// What it wrote until all were Ready.
    pub(super) replay: Vec<Call>,
}

impl Figures {
    pub(super) fn cores(&self) -> f64 {
        self.cpu / self.wall.as_secs_f64().max(0.001)
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a short list"
    )]
    pub(super) fn percentile(&self, share: f64) -> f64 {
        let last = self.changes.len().saturating_sub(1);
        let index = (last as f64 * share).ceil() as usize;
        self.changes.get(index.min(last)).copied().unwrap_or(f64::INFINITY)
    }
}

/// How long it is watched at rest.
pub(super) fn quiet(which: Which, plan: &Plan) -> Duration {
    if which == Which::Ours { plan.quiet } else { plan.quiet.min(PEER_QUIET) }
}

/// The kinds, with their plurals. The peer knows no retention policies.
fn kinds(which: Which) -> &'static [(&'static str, &'static str)] {
    const ALL: &[(&str, &str)] = &[
        ("Network", "networks"),
        ("SecurityGroup", "securitygroups"),
        ("User", "users"),
        ("RetentionPolicy", "retentionpolicies"),
    ];
    if which == Which::Ours { ALL } else { &ALL[..3] }
}

pub(super) fn run(which: Which, plan: &Plan, size: &Size, depth: Depth) -> Outcome<Figures> {
    eprintln!("\n=== {}: {}", which.name(), size.text());
    let mut steps = Steps::new();
    let scene = steps.step("API server", || Scene::new(size))?;
    let kubeconfig = scene.operator_kubeconfig()?;
    let mut subject = Subject::start(which, &scene, &kubeconfig)?;
    subject.wait_ready()?;
    eprintln!("            before anything is there: {}", memory(subject.id())?);
    let seen = scene.watch(kinds(which));
    let mut figures = Figures::default();
    steps.step("from empty to all Ready", || grow(&scene, size, &mut subject, &seen, &mut figures))?;
    let settled = steps.step("it settles", || settle(&scene, &subject))?;
    if depth == Depth::Everything {
        if which == Which::Ours {
            steps.step("retention policies, so that all kinds are there", || policies(&scene, size, &seen))?;
            settle(&scene, &subject)?;
        }
        steps.step("quiet", || rest(&scene, &subject, quiet(which, plan), &mut figures))?;
        steps.step("unchanged objects are looked at", || poke(&scene, size, &subject, &mut figures))?;
        steps.step("specs change", || change(&scene, size, which, plan.changes, &seen, &mut figures))?;
        settle(&scene, &subject)?;
    }
    let memory = memory(subject.id())?;
    (figures.peak, figures.rest) = (memory.peak, memory.now);
    eprintln!("            memory: {memory}");
    subject.still_runs()?;
    if depth == Depth::Everything {
        steps.step("restart", || restart(&scene, size, which, subject, &mut figures))?;
    }
    if settled.is_none() {
        eprintln!("            it did not become quiet within {} s", SETTLE.as_secs());
    }
    Ok(figures)
}

fn count(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::INFINITY, f64::from)
}

fn grow(scene: &Scene, size: &Size, subject: &mut Subject, seen: &Seen, figures: &mut Figures) -> Outcome {
    let (mark, meter) = (scene.audit.mark()?, Meter::start(subject.id())?);
    let servers: Vec<Meter> = scene.api.ids().into_iter().map(Meter::start).collect::<Outcome<_>>()?;
    scene.create(size.all())?;
    eprintln!("            all are created after {:.1} s", meter.read()?.0.as_secs_f64());
    let waited = scene.runtime.block_on(seen.wait_ready(size.objects(), GROWTH));
    subject.still_runs()?;
    waited?;
    (figures.wall, figures.cpu) = meter.read()?;
    let mut server = 0.0;
    for meter in servers {
        server += meter.read()?.1;
    }
    eprintln!("            API server and etcd: {server:.1} s of processor time");
    let requests = scene.audit.since(mark)?;
    let writes: Vec<Request> = requests.iter().filter(|request| request.is_write()).cloned().collect();
    eprintln!(
        "            all are Ready after {:.1} s with {:.1} s of processor time, {}, {} writes: {:?}",
        figures.wall.as_secs_f64(),
        figures.cpu,
        memory(subject.id())?,
        writes.len(),
        summary(&writes)
    );
    let reads = requests.iter().filter(|request| request.is_read());
    eprintln!("            reads: {:?}; relays: {:?}", summary(reads), scene.relays.all_calls());
    figures.replay = scene.runtime.block_on(replay::calls(&scene.client, &writes))?;
    Ok(())
}

fn settle(scene: &Scene, subject: &Subject) -> Outcome<Option<Instant>> {
    scene.wait_quiet(subject.id(), Duration::from_secs(5), SETTLE)
}

/// One policy for fifty networks.
fn policies(scene: &Scene, size: &Size, seen: &Seen) -> Outcome {
    let policies: Vec<Object> = (0..size.networks).step_by(50).map(|number| size.network(number).policy()).collect();
    let all = size.objects() + policies.len();
    scene.create(policies)?;
    scene.runtime.block_on(seen.wait_ready(all, GROWTH))
}

fn rest(scene: &Scene, subject: &Subject, time: Duration, figures: &mut Figures) -> Outcome {
    let (meter, before) = (Meter::start(subject.id())?, scene.relays.all_calls().total());
    let requests = scene.during(time)?;
    let writes: Vec<&Request> = requests.iter().filter(|request| request.is_write()).collect();
    figures.quiet_writes = count(writes.len());
    let (wall, cpu) = meter.read()?;
    eprintln!(
        "            in {:.0} s: {:?}; {:.1} s of processor time, {} calls of relays",
        wall.as_secs_f64(),
        summary(&requests),
        cpu,
        scene.relays.all_calls().total() - before
    );
    Ok(())
}

/// An annotation of somebody else's calls the operator and changes nothing.
fn poke(scene: &Scene, size: &Size, subject: &Subject, figures: &mut Figures) -> Outcome {
    let mut calls = Vec::new();
    for number in (0..size.networks).step_by((size.networks / 10).max(1)) {
        let names = size.network(number);
        let body = json!({"metadata": {"annotations": {"bench.example/poked": "yes"}}});
        let mut poke = |plural, name: &str| calls.push(Call::merge(ours(plural, &names.namespace, name), body.clone()));
        poke("networks", &names.name);
        names.groups.iter().take(1).for_each(|name| poke("securitygroups", name));
        names.users.iter().take(1).for_each(|name| poke("users", name));
    }
    let (mark, poked) = (scene.audit.mark()?, count(calls.len()));
    scene.make(calls, false)?;
    scene.wait_quiet(subject.id(), Duration::from_secs(3), SETTLE)?;
    let requests = scene.audit.since(mark)?;
    let of =
        |wanted: &dyn Fn(&Request) -> bool| count(requests.iter().filter(|request| wanted(request)).count()) / poked;
    (figures.poke_reads, figures.poke_writes) = (of(&Request::is_read), of(&Request::is_write));
    eprintln!("            {poked:.0} objects: {:?}", summary(&requests));
    Ok(())
}

/// A change that reaches the relay: two values of a field of each kind.
fn field(plural: &str, other: bool) -> Value {
    match plural {
        "networks" => json!({"readReceipts": if other { "Disabled" } else { "Enabled" }}),
        "securitygroups" => json!({"messaging": {"filesEnabled": !other}}),
        "users" => json!({"suspended": other}),
        _ => json!({"enabled": !other}),
    }
}

fn change(scene: &Scene, size: &Size, which: Which, changes: usize, seen: &Seen, figures: &mut Figures) -> Outcome {
    let mut others: HashMap<Id, bool> = HashMap::new();
    let mut by_kind: HashMap<&str, Vec<f64>> = HashMap::new();
    for step in 0..changes {
        let (_, plural) = kinds(which)[step % kinds(which).len()];
        // Policies are in every fiftieth network only.
        let number = if plural == "retentionpolicies" { step * 50 } else { step * 37 } % size.networks;
        let number = if plural == "retentionpolicies" { number / 50 * 50 } else { number };
        let names = size.network(number);
        let pick = |all: &[String]| all.get(step % all.len().max(1)).cloned().unwrap_or_default();
        let name = match plural {
            "networks" => names.name.clone(),
            "securitygroups" => pick(&names.groups),
            "users" => pick(&names.users),
            _ => names.policy().name,
        };
        let id = (plural, names.namespace, name);
        let other = others.entry(id.clone()).and_modify(|other| *other = !*other).or_insert(true);
        let call = Call::merge(ours(plural, &id.1, &id.2), json!({"spec": field(plural, *other)}));
        let begin = Instant::now();
        let generation = scene.change(&call)?;
        ensure(generation > 1, || format!("{id:?}: the change has changed nothing"))?;
        let at = scene.runtime.block_on(seen.wait_for(&id, generation, CHANGE))?;
        let time = at.duration_since(begin).as_secs_f64();
        by_kind.entry(plural).or_default().push(time);
        figures.changes.push(time);
    }
    figures.changes.sort_by(f64::total_cmp);
    for (plural, times) in by_kind {
        let most = times.iter().copied().fold(0.0, f64::max);
        eprintln!(
            "            {plural}: {:.3} s on average, {most:.3} s at most",
            times.iter().sum::<f64>() / count(times.len())
        );
    }
    eprintln!("            p50 {:.3} s, p99 {:.3} s", figures.percentile(0.5), figures.percentile(0.99));
    Ok(())
}

fn restart(scene: &Scene, size: &Size, which: Which, mut subject: Subject, figures: &mut Figures) -> Outcome {
    subject.end()?;
    drop(subject);
    let names: Vec<_> = (0..size.networks).map(|number| size.network(number)).collect();
    let asked = |names: &super::objects::NetworkNames| scene.relays.calls(&names.namespace, &names.name).total();
    let before: Vec<u64> = names.iter().map(asked).collect();
    let (mark, begin) = (scene.audit.mark()?, Instant::now());
    let mut subject = Subject::start(which, scene, &scene.operator_kubeconfig()?)?;
    subject.wait_ready()?;
    let ready = begin.elapsed();
    // It is not quiet before it has compared every relay with what it wants there.
    while which == Which::Ours && begin.elapsed() < SETTLE {
        if names.iter().zip(&before).all(|(names, before)| asked(names) > *before) {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let all_asked = Instant::now();
    let quiet = scene.wait_quiet(subject.id(), Duration::from_secs(3), SETTLE)?;
    figures.restart = quiet.map_or(SETTLE, |at| at.max(all_asked).duration_since(begin));
    let requests = scene.audit.since(mark)?;
    figures.restart_writes = count(requests.iter().filter(|request| request.is_write()).count());
    let memory = memory(subject.id())?;
    figures.peak = figures.peak.max(memory.peak);
    eprintln!(
        "            ready after {:.1} s, all relays asked after {:.1} s, quiet after {:.1} s, {memory}: {:?}",
        ready.as_secs_f64(),
        all_asked.duration_since(begin).as_secs_f64(),
        figures.restart.as_secs_f64(),
        summary(&requests)
    );
    subject.end()
}
