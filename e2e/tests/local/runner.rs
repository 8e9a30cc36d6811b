//! The runner itself: in the foreground, ended by a signal, killed, in the way of others.

use std::fs;
use std::net::TcpListener;

use rustix::process::{Pid, Signal, kill_process};
use sotto_e2e::{Failure, Outcome, ensure, fail, wait_until};

use crate::site::{PATIENCE, Site, condition};

/// The process id of the runner.
fn runner(site: &Site) -> Outcome<Pid> {
    let info: serde_json::Value = serde_json::from_slice(&fs::read(site.state().join("runner.json"))?)?;
    let pid = info["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    pid.ok_or_else(|| Failure(format!("no process: {info}")))
}

fn signal(pid: Pid, signal: Signal) -> Outcome {
    kill_process(pid, signal).map_err(|error| Failure(error.to_string()))
}

#[test]
#[ignore = "starts whole sites: `make e2e-local`"]
fn in_the_foreground_until_ctrl_c() -> Outcome {
    let site = Site::new()?;
    let mut up = site.sotto("up")?.args(["manifests", "--state", "state"]).start()?;
    wait_until("what to do next", PATIENCE, || {
        up.still_runs()?;
        let printed = up.stdout()?;
        ensure(printed.contains("Ctrl-C ends it"), || printed.clone())
    })?;
    let printed = up.stdout()?;
    for wanted in ["OBJECT", "Network/beta", "Reconciled", "carol@chat.beta.example\n", "sotto://", "receive --profile"]
    {
        ensure(printed.contains(wanted), || format!("`{wanted}` is not in:\n{printed}"))?;
    }
    // A user who is added gets an invite, which is shown.
    site.save(
        "erin.yaml",
        "apiVersion: sotto.dev/v1alpha1\nkind: User\nmetadata: {name: erin}\nspec: {networkRef: {name: beta}}\n",
    )?;
    wait_until("erin's invite", PATIENCE, || {
        let printed = up.stdout()?;
        ensure(printed.contains("Invite of erin@chat.beta.example"), || printed.clone())
    })?;
    signal(runner(&site)?, Signal::INT)?;
    let status = wait_until("its end", PATIENCE, || match up.ended()? {
        Some(status) => Ok(status),
        None => fail("it runs"),
    })?;
    ensure(status.success(), || format!("ended with {status}"))?;
    let left = site.processes()?;
    ensure(left.is_empty(), || format!("still running:\n{}", left.join("\n")))
}

#[test]
#[ignore = "starts whole sites: `make e2e-local`"]
fn a_killed_runner_leaves_nothing_that_the_next_one_does_not_take_care_of() -> Outcome {
    let site = Site::new()?;
    site.up()?.output()?;
    let before = site.pid("acme-relay")?;
    signal(runner(&site)?, Signal::KILL)?;
    wait_until("that status knows", PATIENCE, || {
        let alice = site.object("User", "alice")?;
        let reason = condition(&alice, "Ready").map(|c| c["reason"].clone());
        ensure(reason == Some("NotRunning".into()), || format!("{reason:?}"))
    })?;
    site.up()?.output()?;
    ensure(site.pid("acme-relay")? != before, || "two relays on one store".into())?;
    let relays = site.processes()?.iter().filter(|line| line.contains(" relay --config")).count();
    ensure(relays == 2, || format!("{relays} relays for two networks"))?;
    // And `down` ends what a killed runner has left.
    signal(runner(&site)?, Signal::KILL)?;
    wait_until("that all is ended", PATIENCE, || {
        site.down()?;
        let left = site.processes()?;
        ensure(left.is_empty(), || left.join("\n"))
    })
}

#[test]
#[ignore = "starts whole sites: `make e2e-local`"]
fn a_port_that_somebody_else_took_is_named_and_used_once_it_is_free() -> Outcome {
    let site = Site::new()?;
    site.up()?.output()?;
    let acme = site.object("Network", "acme")?;
    let address = acme["status"]["url"].as_str().unwrap_or_default().trim_start_matches("http://").to_owned();
    site.down()?;
    let taken = TcpListener::bind(&address)?;
    let said = site.up()?.refused()?;
    ensure(said.contains(&address) && said.contains("another program"), || said.clone())?;
    let beta = site.object("Network", "beta")?;
    ensure(condition(&beta, "Ready").is_some_and(|c| c["status"] == "True"), || beta["status"].to_string())?;
    drop(taken);
    wait_until("that acme is ready", PATIENCE, || {
        let acme = site.object("Network", "acme")?;
        ensure(condition(&acme, "Ready").is_some_and(|c| c["status"] == "True"), || acme["status"].to_string())
    })
}
