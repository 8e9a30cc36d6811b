//! Manifests that are wrong, and manifests that change.

use std::fs;

use sotto_e2e::{Outcome, ensure, wait_until};

use crate::site::{PATIENCE, Site, condition};

#[test]
#[ignore = "starts whole sites: `make e2e-local`"]
fn a_bad_manifest_is_named_with_file_object_field_and_remedy_while_the_rest_goes_on() -> Outcome {
    let site = Site::new()?;
    fs::remove_file(site.manifests().join("beta.yaml"))?;
    site.edit("acme.yaml", "  firstName: Bob\n", "  frstName: Bob\n")?;
    site.save("broken.yaml", "kind: [\n")?;
    site.save(
        "lost.yaml",
        "apiVersion: sotto.dev/v1alpha1\nkind: User\nmetadata: {name: lost}\nspec: {networkRef: {name: nowhere}}\n",
    )?;

    let said = site.up()?.refused()?;
    for wanted in [
        "acme.yaml:",
        "User/bob: spec.frstName",
        "did you mean `firstName`?",
        "broken.yaml:",
        "User/lost is not ready",
        "nowhere",
        // Acme's peer is not there any more.
        "chat.beta.example",
    ] {
        ensure(said.contains(wanted), || format!("`{wanted}` is not in:\n{said}"))?;
    }
    // The rest goes on.
    let alice = site.object("User", "alice")?;
    ensure(condition(&alice, "Ready").is_some_and(|c| c["status"] == "True"), || alice["status"].to_string())?;
    ensure(site.invite("alice")?.starts_with("sotto://127.0.0.1:"), || "no invite".into())?;
    ensure(site.object("User", "bob").is_err(), || "a refused object is there".into())?;
    let unknown = site.sotto("invite")?.args(["mallory", "--state", "state"]).refused()?;
    ensure(unknown.contains("no User mallory") && unknown.contains("alice"), || unknown.clone())?;

    // Put right, it is applied as it is saved.
    site.edit("acme.yaml", "frstName", "firstName")?;
    fs::remove_file(site.manifests().join("broken.yaml"))?;
    wait_until("that bob is ready", PATIENCE, || {
        let bob = site.object("User", "bob")?;
        ensure(condition(&bob, "Ready").is_some_and(|c| c["status"] == "True"), || bob["status"].to_string())
    })?;

    // A change that is not allowed leaves the object as it was.
    site.edit("acme.yaml", "domain: chat.acme.example", "domain: chat.other.example")?;
    wait_until("that the change is refused", PATIENCE, || {
        let told = site.sotto("status")?.args(["--state", "state"]).finish()?;
        ensure(told.stderr.contains("Network/acme: spec.domain: domain cannot be changed"), || told.shown())
    })?;
    let acme = site.object("Network", "acme")?;
    ensure(acme["spec"]["domain"] == "chat.acme.example", || acme["spec"].to_string())
}

#[test]
#[ignore = "starts whole sites: `make e2e-local`"]
fn a_folder_that_is_not_there_is_named() -> Outcome {
    let site = Site::new()?;
    let said = site.sotto("up")?.args(["nowhere", "--state", "state"]).refused()?;
    ensure(said.contains("nowhere") && said.contains("examples/manifests"), || said.clone())?;
    let said = site.sotto("status")?.args(["--state", "state"]).refused()?;
    ensure(said.contains("sotto up"), || said.clone())?;
    let down = site.down()?;
    ensure(down.status.success(), || down.shown())
}
