//! Secrets of the operator that somebody deletes.

use sotto_e2e::{Failure, Outcome, ensure, right, wait_until};

use crate::faults::condition;
use crate::site::{PATIENCE, Site, with_log};

#[test]
#[ignore = "needs Kubernetes' programs: `make api`"]
fn a_secret_is_deleted() -> Outcome {
    let site = Site::start()?;
    let mut operator = site.operator("chat")?;
    let before = site.settle("chat", &mut operator)?;
    let secrets: Vec<String> = before.keys().filter_map(|id| id.strip_prefix("Secret/")).map(str::to_owned).collect();
    let delete =
        |name: &str| site.api.kubectl().args(["delete", "secret", name, "--namespace", "chat"]).output().map(drop);
    let mut lost = Vec::new();
    for name in &secrets {
        let saved = site.api.get(&["secret", name, "--namespace", "chat"])?;
        delete(name)?;
        // Either it is made again, or it is a key that nobody can make again: then a person is asked.
        let kept = wait_until(&format!("what becomes of {name}"), PATIENCE, || {
            operator.still_runs()?;
            if site.api.get(&["secret", name, "--namespace", "chat"]).is_ok() {
                return Ok(false);
            }
            let networks = site.api.list(&["networks,retentionpolicies", "--namespace", "chat"])?;
            let said = networks.iter().any(|object| {
                condition(object, "Degraded").is_some_and(|c| c["status"] == "True" && c["reason"] == "KeysLost")
            });
            ensure(said, || "neither made again nor missed".into())?;
            Ok(true)
        })
        .map_err(|e| with_log(&e, &mut operator))?;
        if kept {
            lost.push(name.clone());
            // From the backup, as the message says.
            let mut saved = saved;
            for field in ["resourceVersion", "uid", "creationTimestamp"] {
                if let Some(metadata) = saved["metadata"].as_object_mut() {
                    metadata.remove(field);
                }
            }
            site.api.apply(&saved)?;
        }
        let after =
            site.right("chat").wait(PATIENCE, || operator.still_runs()).map_err(|e| with_log(&e, &mut operator))?;
        right::same(&right::names(&before), &right::names(&after))
            .map_err(|error| Failure(format!("after {name} was deleted: {}", error.0)))?;
        if kept {
            // The same key as before.
            let id = format!("Secret/{name}");
            ensure(after.get(&id) == before.get(&id), || format!("{name} is another one"))?;
        }
    }
    eprintln!("of {} Secrets these are not made again: {}", secrets.len(), lost.join(", "));
    for network in ["acme", "beta"] {
        let has = |part: &str| lost.iter().any(|name| name.starts_with(network) && name.contains(part));
        ensure(has("ca") && has("policy"), || {
            format!("a lost authority or policy key of {network} was made anew: {lost:?}")
        })?;
    }
    Ok(())
}
