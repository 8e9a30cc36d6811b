//! `kubectl sotto`, and `sotto kube`: what administrators do with a cluster.

use serde::Serialize;
use sotto_kubectl::change::{Reset, target, word};
use sotto_kubectl::tree::{Wish, forest, lines};
use sotto_kubectl::{Access, Cluster, KubeError, bundle, diff, invites, policy, status};

use crate::args::{
    AccessArgs, GatherArgs, KubeAction, KubeArgs, KubeInviteArgs, KubeStatusArgs, PauseArgs, PolicyAction, ResetArgs,
    ResetWhat, RotateArgs, TextFormat,
};
use crate::error::{CliError, Kind};
use crate::ui::Ui;

/// Runs the command.
pub(crate) async fn run(args: &KubeArgs, ui: Ui) -> Result<(), CliError> {
    let output = args.access.output;
    match &args.action {
        KubeAction::Users(users) => super::users::run(&args.access, users, ui).await,
        KubeAction::Completion(args) => super::manual::plugin_completion(args, ui),
        KubeAction::Status(wish) => show(&connect(&args.access, wish.all_namespaces).await?, wish, output, ui).await,
        KubeAction::MustGather(wish) => {
            gather(&connect(&args.access, wish.all_namespaces).await?, wish, output, ui).await
        }
        KubeAction::Invite(wish) => invite(&connect(&args.access, false).await?, wish, output, ui).await,
        KubeAction::Reset(wish) => reset(&connect(&args.access, false).await?, wish, output, ui).await,
        KubeAction::Policy(PolicyAction::Diff(wish)) => {
            let cluster = connect(&args.access, false).await?;
            // Exit code 1 says that something differs, and nothing else.
            let objects =
                policy::diff(&cluster, &wish.paths).await.map_err(explain).map_err(|error| match error.kind {
                    Kind::Failed => CliError { kind: Kind::Usage, ..error },
                    _ => error,
                })?;
            compared(&objects, output, ui)
        }
        KubeAction::Pause(wish) => pause(&connect(&args.access, false).await?, wish, true, output, ui).await,
        KubeAction::Resume(wish) => pause(&connect(&args.access, false).await?, wish, false, output, ui).await,
        KubeAction::Rotate(wish) => rotate(&connect(&args.access, false).await?, wish, output, ui).await,
    }
}

/// The cluster that the command line says.
pub(crate) async fn connect(args: &AccessArgs, all_namespaces: bool) -> Result<Cluster, CliError> {
    let access = Access {
        kubeconfig: args.kubeconfig.clone(),
        context: args.context.clone(),
        namespace: args.namespace.clone(),
        all_namespaces,
        user: args.act_as.clone(),
        groups: args.act_as_groups.clone(),
    };
    access.connect().await.map_err(explain)
}

/// The error with its exit code.
#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
pub(crate) fn explain(error: KubeError) -> CliError {
    let kind = match &error {
        KubeError::Config(_) | KubeError::Usage(_) => Kind::Usage,
        KubeError::Refused { .. } => Kind::Refused,
        KubeError::Unreachable { .. } | KubeError::NotYet(_) => Kind::Unreachable,
        KubeError::Missing(_) | KubeError::File { .. } => Kind::Failed,
    };
    CliError::new(kind, error.to_string())
}

async fn show(cluster: &Cluster, args: &KubeStatusArgs, output: TextFormat, ui: Ui) -> Result<(), CliError> {
    let scene = status::scene(cluster).await.map_err(explain)?;
    for unread in &scene.unread {
        ui.note(&format!("note: {unread}"));
    }
    let wish = Wish { network: args.network.clone(), all: args.all };
    let trees = forest(&scene, &wish);
    if let Some(name) = &args.network
        && !trees.iter().any(|tree| tree.kind == "Network")
    {
        let place =
            if cluster.all { "in the cluster".to_owned() } else { format!("in namespace {}", cluster.namespace) };
        return Err(CliError::failed(format!("there is no Network {name} {place}"))
            .hint("`kubectl get networks -A` lists them; -n names the namespace"));
    }
    if output == TextFormat::Json {
        return ui.json(&trees);
    }
    if scene.objects.is_empty() {
        ui.note(&format!("there are no objects in namespace {}; -A looks into all", cluster.namespace));
    }
    for line in lines(&trees) {
        ui.result(&line)?;
    }
    Ok(())
}

async fn invite(cluster: &Cluster, args: &KubeInviteArgs, output: TextFormat, ui: Ui) -> Result<(), CliError> {
    let Some(user) = &args.user else {
        let pending = invites::pending(cluster).await.map_err(explain)?;
        if output == TextFormat::Json {
            return ui.json(&pending);
        }
        for invite in &pending {
            let line = format!("{}\t{}\t{}\t{}", invite.user, invite.address, invite.expires_at, invite.invite);
            ui.result(&line)?;
        }
        ui.note(&format!("{} open invites in namespace {}", pending.len(), cluster.namespace));
        return Ok(());
    };
    let invite = invites::invite(cluster, user).await.map_err(explain)?;
    match output {
        TextFormat::Text => ui.result(&invite.invite),
        TextFormat::Json => ui.json(&invite),
    }
}

/// What `-o json` prints of a change.
#[derive(Serialize)]
struct Change<'a> {
    kind: &'a str,
    name: &'a str,
    /// What was asked for.
    action: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    word: Option<&'a str>,
    /// Whether it was waited for, and has happened.
    done: bool,
    /// Whether anything had to be changed.
    changed: bool,
}

fn changed(change: &Change<'_>, said: &str, output: TextFormat, ui: Ui) -> Result<(), CliError> {
    match output {
        TextFormat::Text => ui.result(said),
        TextFormat::Json => ui.json(change),
    }
}

async fn reset(cluster: &Cluster, args: &ResetArgs, output: TextFormat, ui: Ui) -> Result<(), CliError> {
    let reset = match args.what {
        ResetWhat::Devices => Reset::Devices,
        ResetWhat::Invite => Reset::Invite,
        ResetWhat::Lockout => Reset::Lockout,
    };
    let word = args.word.clone().unwrap_or_else(word);
    let mut names = Vec::new();
    // All of them are there before anything is changed.
    for user in &args.users {
        let user = cluster.user(user).await.map_err(explain)?;
        names.push(user["metadata"]["name"].as_str().unwrap_or_default().to_owned());
    }
    for name in &names {
        cluster.reset(reset, name, &word).await.map_err(explain)?;
    }
    for name in &names {
        if args.wait.wait {
            cluster.reset_done(reset, name, &word, args.wait.timeout).await.map_err(explain)?;
        }
        let what = reset.field();
        let said = if args.wait.wait {
            format!("User {name}: the reset of {what} is done")
        } else {
            format!(
                "User {name}: the reset of {what} is asked for with the word {word}; status.reset.{what} says when it is done"
            )
        };
        let change =
            Change { kind: "User", name, action: what, word: Some(&word), done: args.wait.wait, changed: true };
        changed(&change, &said, output, ui)?;
    }
    if reset == Reset::Invite && args.wait.wait && output == TextFormat::Text {
        ui.note("`kubectl sotto invite USER` prints the new one");
    }
    Ok(())
}

/// What `policy diff -o json` prints.
#[derive(Serialize)]
struct Comparison<'a> {
    agree: bool,
    objects: &'a [diff::Object],
}

fn compared(objects: &[diff::Object], output: TextFormat, ui: Ui) -> Result<(), CliError> {
    let agree = objects.iter().all(diff::Object::agrees);
    if output == TextFormat::Json {
        ui.json(&Comparison { agree, objects })?;
    } else {
        for line in diff::lines(objects) {
            ui.result(&line)?;
        }
    }
    let differing = objects.iter().filter(|o| !o.agrees()).count();
    if agree {
        ui.note(&format!("{} objects: files, cluster and relay agree", objects.len()));
        return Ok(());
    }
    Err(CliError::failed(format!("{differing} of {} objects differ or are not enforced", objects.len())))
}

async fn gather(cluster: &Cluster, args: &GatherArgs, output: TextFormat, ui: Ui) -> Result<(), CliError> {
    let usual = || format!("sotto-must-gather-{}.tar.gz", jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S")).into();
    let order = bundle::Order {
        file: args.file.clone().unwrap_or_else(usual),
        since: args.since,
        log_bytes: 4 << 20,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let gathered = bundle::gather(cluster, &order, |what| ui.note(what)).await.map_err(explain)?;
    if output == TextFormat::Json {
        return ui.json(&gathered);
    }
    if !gathered.problems.is_empty() {
        ui.note(&format!(
            "{} things could not be read: problems.txt in the archive names them",
            gathered.problems.len()
        ));
    }
    ui.note(&format!("{} files, {} bytes before packing", gathered.files, gathered.bytes));
    ui.result(&gathered.file)
}

async fn pause(cluster: &Cluster, args: &PauseArgs, paused: bool, output: TextFormat, ui: Ui) -> Result<(), CliError> {
    let (kind, name) = target(&args.object).map_err(explain)?;
    let different = cluster.pause(&kind, &name, paused).await.map_err(explain)?;
    if args.wait.wait {
        cluster.pause_seen(&kind, &name, paused, args.wait.timeout).await.map_err(explain)?;
    }
    let action = if paused { "pause" } else { "resume" };
    let said = match (paused, different) {
        (true, true) => "paused: the operator changes nothing until `kubectl sotto resume`",
        (true, false) => "was paused already",
        (false, true) => "resumed",
        (false, false) => "was not paused",
    };
    let change = Change { kind: &kind.kind, name: &name, action, word: None, done: args.wait.wait, changed: different };
    changed(&change, &format!("{} {name}: {said}", kind.kind), output, ui)
}

async fn rotate(cluster: &Cluster, args: &RotateArgs, output: TextFormat, ui: Ui) -> Result<(), CliError> {
    let word = args.word.clone().unwrap_or_else(word);
    cluster.rotate(&args.network, &word).await.map_err(explain)?;
    if args.wait.wait {
        cluster.rotated(&args.network, &word, args.wait.timeout).await.map_err(explain)?;
    }
    let said = if args.wait.wait {
        format!("Network {}: its certificates are new", args.network)
    } else {
        format!("Network {}: new certificates are asked for; status.rotated says {word} when it is done", args.network)
    };
    let change = Change {
        kind: "Network",
        name: &args.network,
        action: "rotate",
        word: Some(&word),
        done: args.wait.wait,
        changed: true,
    };
    changed(&change, &said, output, ui)
}
