//! The leader dies in the middle of each step, as by `kill -9`; a standby takes over, and all is right, with no leftovers.

use std::time::Instant;

use sotto_e2e::right::{self, Picture};
use sotto_e2e::{Failure, Operator, Outcome, Signal, ensure, fail, wait_until};
use sotto_operator::failpoint;

use crate::faults::long;
use crate::site::{PATIENCE, Site, with_log};

/// Every place is passed this often for certain: in each of the two networks. How often beyond that is a matter of timing.
const CERTAIN: u32 = 2;

/// A leader that dies at this place, and a standby.
struct Pair<'a> {
    site: &'a Site,
    namespace: String,
    leader: Operator,
    standby: Operator,
}

impl<'a> Pair<'a> {
    fn start(site: &'a Site, namespace: &str, place: &str) -> Outcome<Self> {
        site.api.namespace(namespace)?;
        let mut leader = site.candidate(namespace, "leader", &[("SOTTO_FAILPOINT", place)])?;
        wait_until("the first leads", PATIENCE, || {
            leader.still_runs()?;
            let said = leader.http("/readyz")?.body;
            ensure(said.trim() == "leader", || said.clone())
        })?;
        let standby = site.candidate(namespace, "standby", &[])?;
        Ok(Self { site, namespace: namespace.to_owned(), leader, standby })
    }

    /// The standby runs; the leader does too, or has died where it should.
    fn look(&mut self) -> Outcome {
        self.site.keep(&self.namespace, "standby", &mut self.standby)?;
        self.has_died().map(drop)
    }

    fn has_died(&mut self) -> Outcome<bool> {
        let Some(status) = self.leader.ended()? else { return Ok(false) };
        // As `kill -9`: no destructor, no farewell.
        let killed = std::os::unix::process::ExitStatusExt::signal(&status) == Some(6);
        if !killed {
            let log = self.leader.log()?;
            return fail(format!("the leader has ended otherwise: {status}\n{log}"));
        }
        Ok(true)
    }
}

/// The leader dies at one place; the standby brings to its end what was half done, and takes all away again when asked to.
fn die_at(site: &Site, name: &str, time: u32, reference: &Picture, kept: &Picture) -> Outcome {
    let begin = Instant::now();
    let place = format!("{name}@{time}");
    let mut pair = Pair::start(site, &format!("at-{name}-{time}"), &place)?;
    let namespace = pair.namespace.clone();
    let started = begin.elapsed();
    let right = site.right(&namespace);
    site.apply(&namespace)?;
    let picture = right.wait(PATIENCE, || pair.look()).map_err(|error| with_log(&error, &mut pair.standby))?;
    right::same(&right::names(reference), &right::names(&picture))?;
    let right_after = begin.elapsed();
    site.delete(&namespace)?;
    let left = right.wait_gone(PATIENCE, || pair.look()).map_err(|error| with_log(&error, &mut pair.standby))?;
    right::same(&right::names(kept), &right::names(&left))?;
    // What is kept is what was there: a key that was made anew would be lost data.
    for (name, content) in &left {
        ensure(picture.get(name) == Some(content), || format!("{name} is not what it was"))?;
    }
    let died = pair.has_died()?;
    ensure(died || time > CERTAIN, || format!("the leader never came to {place}"))?;
    if died {
        pair.standby.signal(Signal::TERM);
        pair.standby.wait_end(PATIENCE)?;
    }
    let how = if died { "" } else { "NOT REACHED (passed fewer times here): " };
    eprintln!(
        "{place}: {how}a leader after {:.1} s, all right after {:.1} s, all gone after {:.1} s",
        started.as_secs_f64(),
        right_after.as_secs_f64(),
        begin.elapsed().as_secs_f64()
    );
    Ok(())
}

/// What an undisturbed operator makes, and what it leaves behind.
fn undisturbed(site: &Site) -> Outcome<(Picture, Picture)> {
    let mut operator = site.operator("reference")?;
    let picture = site.settle("reference", &mut operator)?;
    for object in ["relay acme: user alice", "StatefulSet/acme-relay", "Deployment/acme-gateway"] {
        right::holds(&picture, object)?;
    }
    site.delete("reference")?;
    let kept = site.right("reference").wait_gone(PATIENCE, || operator.still_runs())?;
    Ok((picture, kept))
}

fn die_at_each(places: &[(&str, u32)]) -> Outcome {
    let site = Site::start()?;
    let (reference, kept) = undisturbed(&site)?;
    for (name, time) in places {
        let at = |error: Failure| Failure(format!("at {name}@{time}: {}", error.0));
        die_at(&site, name, *time, &reference, &kept).map_err(at)?;
    }
    Ok(())
}

/// The places of this half. In the long version also later times at each.
fn places(half: usize) -> Vec<(&'static str, u32)> {
    let times: &[u32] = if long() { &[1, 2, 4, 7] } else { &[1] };
    let all = times.iter().flat_map(|time| failpoint::ALL.map(|name| (name, *time)));
    all.enumerate().filter(|(index, _)| index % 2 == half).map(|(_, place)| place).collect()
}

#[test]
#[ignore = "needs Kubernetes' programs: `make api`"]
fn the_leader_dies_at_each_place_first_half() -> Outcome {
    die_at_each(&places(0))
}

#[test]
#[ignore = "needs Kubernetes' programs: `make api`"]
fn the_leader_dies_at_each_place_second_half() -> Outcome {
    die_at_each(&places(1))
}
