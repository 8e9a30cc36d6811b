//! People who talk, and what becomes of what they said.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sotto_e2e::{Aws, Background, Failure, Outcome, Run, ensure, fail, sotto_program, wait_until};

use crate::apply::all_ready;
use crate::{CHAT, PATIENCE, SYSTEM, Scene};

/// The first message.
pub(crate) const FIRST_TEXT: &str = "the first message, from alice to bob";
/// What goes from one network to another.
const ACROSS: &str = "greetings across networks";
/// The bucket of the other network's records.
const BUCKET: &str = "beta-records";
/// The policy with that bucket.
const BUCKET_POLICY: &str = "in-bucket";
/// Good enough for any group's password rules.
const PASSWORD: &str = "Correct-Horse-7-Battery-Staple";
/// How many messages the time from sending to receiving is measured with.
const SAMPLES: usize = 15;

/// Somebody who has joined.
pub(crate) struct Person {
    /// Name of the User object and of the profile.
    pub(crate) name: String,
    /// The address.
    pub(crate) address: String,
    home: PathBuf,
}

/// Two people of one network, the first two users of the network that has a retention policy.
pub(crate) struct People {
    /// Who writes.
    pub(crate) alice: Person,
    /// Who reads.
    pub(crate) bob: Person,
    /// Their network.
    pub(crate) network: String,
    /// Its address space, which is also how metrics name it.
    pub(crate) domain: String,
    /// The retention policy's object.
    pub(crate) policy: String,
}

impl Person {
    /// `sotto VERB --profile …`, inside the cluster's network, as a person there would type it.
    pub(crate) fn sotto(&self, scene: &Scene, verb: &str) -> Outcome<Run> {
        let run = scene.cluster.inside(sotto_program()?)?;
        Ok(run.args([verb, "--profile", &self.name]).env("SOTTO_HOME", &self.home))
    }

    /// Sends a text; done once the relay has accepted it.
    pub(crate) fn send(&self, scene: &Scene, to: &Person, text: &str) -> Outcome<String> {
        self.sotto(scene, "send")?.args([&to.address, text]).output()
    }

    /// Follows what comes in.
    pub(crate) fn follow(&self, scene: &Scene) -> Outcome<Background> {
        self.sotto(scene, "receive")?.args(["--follow", "--output", "json"]).start()
    }

    /// Registers by the invite in the Secret that the User's status names.
    fn join(scene: &Scene, user: &Value) -> Outcome<Self> {
        let text = |value: &Value| value.as_str().map(str::to_owned).unwrap_or_default();
        let (name, address) = (text(&user["metadata"]["name"]), text(&user["status"]["address"]));
        let Some(secret) = user["status"]["inviteSecretName"].as_str() else {
            return fail(format!("the status of User {name} names no invite: {}", user["status"]));
        };
        let invite = scene
            .cluster
            .kubectl()
            .args(["get", "secret", secret, "--namespace", CHAT, "--output"])
            .arg("go-template={{.data.url | base64decode}}")
            .output()?;
        let home = scene.state().map(|state| state.join("people")).ok_or_else(|| Failure("no state folder".into()))?;
        fs::create_dir_all(&home)?;
        let password = home.join("password");
        fs::write(&password, PASSWORD)?;
        fs::set_permissions(&password, fs::Permissions::from_mode(0o600))?;
        let person = Self { name, address, home };
        person.sotto(scene, "join")?.arg("--password-file").arg(&password).secret_arg(invite.trim()).output()?;
        let whoami = person.sotto(scene, "whoami")?.args(["--output", "json"]).json()?;
        ensure(whoami["address"] == person.address.as_str(), || {
            format!("whoami says {whoami}, not {}", person.address)
        })?;
        Ok(person)
    }
}

/// The users of a network who have not joined, by name.
fn pending_users(scene: &Scene, network: &str) -> Outcome<Vec<Value>> {
    let mut users = scene.all("users")?;
    users.retain(|user| user["spec"]["networkRef"]["name"] == network && user["status"]["state"] == "Pending");
    users.sort_by_key(|user| user["metadata"]["name"].as_str().map(str::to_owned));
    Ok(users)
}

pub(crate) fn join(scene: &mut Scene) -> Outcome<People> {
    let policies = scene.all("retentionpolicies")?;
    let policy =
        policies.iter().find(|p| p["spec"]["destination"]["volume"].is_object() && p["spec"]["enabled"] == true);
    let Some(policy) = policy else { return fail("the examples hold no RetentionPolicy with a volume") };
    let network = policy["spec"]["networkRef"]["name"].as_str().unwrap_or_default().to_owned();
    let users = pending_users(scene, &network)?;
    let [first, second, ..] = users.as_slice() else {
        return fail(format!("network {network} has fewer than two users who wait to join"));
    };
    let begin = Instant::now();
    let alice = Person::join(scene, first)?;
    scene.figures.time("join", begin.elapsed());
    let bob = Person::join(scene, second)?;
    let policy = policy["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let domain = bob.address.split_once('@').map(|(_, domain)| domain.to_owned()).unwrap_or_default();
    // What the relay knows better comes back into the status.
    wait_until("the status of both users Active with one device", PATIENCE, || {
        for person in [&alice, &bob] {
            let user = scene.cluster.get(&["user", &person.name, "--namespace", CHAT])?;
            ensure(user["status"]["state"] == "Active" && user["status"]["devices"] == 1, || {
                user["status"].to_string()
            })?;
        }
        Ok(())
    })?;
    Ok(People { alice, bob, network, domain, policy })
}

/// Waits until a follower has printed this text.
pub(crate) fn arrives(follower: &mut Background, text: &str, limit: Duration) -> Outcome {
    wait_until(&format!("arrival of `{text}`"), limit, || {
        follower.still_runs()?;
        let printed = follower.stdout()?;
        ensure(printed.lines().any(|line| line.contains(text)), || {
            format!("{} lines have come", printed.lines().count())
        })
    })
}

pub(crate) fn talk(scene: &mut Scene, people: &People) -> Outcome {
    let People { alice, bob, .. } = people;
    let mut follower = bob.follow(scene)?;
    alice.send(scene, bob, FIRST_TEXT)?;
    arrives(&mut follower, FIRST_TEXT, Duration::from_secs(30))?;
    let line = follower.stdout()?.lines().next().unwrap_or_default().to_owned();
    let message: Value = serde_json::from_str(&line)?;
    ensure(line.contains(&alice.address), || format!("a received message names its sender: {message}"))?;

    let mut times = Vec::new();
    for number in 0..SAMPLES {
        let text = format!("sample {number} of {SAMPLES}");
        let begin = Instant::now();
        alice.send(scene, bob, &text)?;
        arrives(&mut follower, &text, Duration::from_secs(10))?;
        times.push(begin.elapsed());
    }
    follower.stop()?;
    scene.figures.time("send_command_to_received_median", median(&mut times));
    scene.figures.time("send_command_to_received_worst", times.last().copied().unwrap_or_default());

    // The other way, for a device that was not connected when it was sent.
    bob.send(scene, alice, "an answer while alice is away")?;
    let received = alice.sotto(scene, "receive")?.args(["--timeout", "20s", "--output", "json"]).output()?;
    ensure(received.contains("an answer while alice is away"), || format!("alice received:\n{received}"))
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// The folder of the volume behind a claim, on this machine.
fn volume(scene: &Scene, claim: &Value) -> Option<PathBuf> {
    Some(scene.state()?.join("volumes").join(claim["spec"]["volumeName"].as_str()?))
}

/// Every file below a folder.
fn files(folder: &Path, found: &mut Vec<PathBuf>) -> Outcome {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files(&path, found)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}

/// The retained records on the volumes of a policy, as JSON.
fn records(scene: &Scene, people: &People) -> Outcome<Vec<Value>> {
    let mut paths = Vec::new();
    for claim in scene.all("persistentvolumeclaims")? {
        if claim["metadata"]["name"].as_str().is_some_and(|name| name.contains(&people.policy))
            && let Some(folder) = volume(scene, &claim)
        {
            files(&folder, &mut paths)?;
        }
    }
    let json =
        |path: &PathBuf| path.extension().is_some_and(|e| e == "json") && path.to_string_lossy().contains("/messages/");
    paths.iter().filter(|path| json(path)).map(|path| Ok(serde_json::from_slice(&fs::read(path)?)?)).collect()
}

/// Waits until the record of a text is on the volume, and checks what it says.
pub(crate) fn record(scene: &mut Scene, people: &People, text: &str) -> Outcome {
    let record = wait_until(&format!("the record of `{text}`"), PATIENCE, || {
        let all = records(scene, people)?;
        let number = all.len();
        match all.into_iter().find(|record| record.to_string().contains(text)) {
            Some(record) => Ok(record),
            None => fail(format!("{number} other records are there")),
        }
    })?;
    let says = |value: &Value, wanted: &str| {
        ensure(value == wanted, || format!("{value} where {wanted} is wanted in {record}"))
    };
    says(&record["sender"], &people.alice.address)?;
    says(&record["receiver"], &people.bob.address)?;
    let id = record["message_id"].as_str().unwrap_or_default();
    ensure(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), || format!("message_id `{id}` in {record}"))
}

/// Waits until every one of these texts has a record, once.
pub(crate) fn all_recorded(scene: &Scene, people: &People, texts: &[String]) -> Outcome {
    wait_until("a record of every accepted message", PATIENCE, || {
        let all: Vec<String> = records(scene, people)?.iter().map(Value::to_string).collect();
        for text in texts {
            let count = all.iter().filter(|record| record.contains(&format!("{text}\""))).count();
            ensure(count == 1, || format!("{count} records of `{text}`"))?;
        }
        Ok(())
    })
}

pub(crate) fn metrics(scene: &mut Scene, people: &People) -> Outcome {
    let aws = Aws::new(&scene.cluster);
    let namespace = "Sotto";
    for metric in ["MessagesAccepted", "MessagesDelivered", "Messages_Saved"] {
        wait_until(&format!("{metric} in CloudWatch"), PATIENCE, || {
            let sum = aws.metric_sum(namespace, &people.domain, metric)?;
            ensure(sum >= 1.0, || {
                format!("its sum is {sum}; there are {:?}", aws.metric_names(namespace, &people.domain))
            })
        })?;
    }
    let dimensions = aws.dimension_names(namespace)?;
    eprintln!("            dimensions: {dimensions:?}");
    for name in &dimensions {
        let lower = name.to_lowercase();
        let personal =
            ["user", "room", "device", "address", "sender", "recipient"].iter().any(|word| lower.contains(word));
        ensure(!personal, || format!("a dimension is named {name}"))?;
    }
    // Nobody's name as a value either, and not on the page for Prometheus.
    let everything = aws.call("cloudwatch", "list_metrics", &json!({"Namespace": namespace}))?.to_string();
    let page = format!("/api/v1/namespaces/{CHAT}/pods/{}-relay-0:8080/proxy/metrics", people.network);
    let page = scene.cluster.kubectl().args(["get", "--raw", &page]).output()?;
    ensure(page.contains("sotto_messages_accepted_total"), || format!("/metrics of the relay:\n{page}"))?;
    for person in [&people.alice, &people.bob] {
        for text in [&everything, &page] {
            ensure(!text.contains(&person.address), || format!("{} occurs in a metric", person.address))?;
        }
    }
    Ok(())
}

/// Keeps the memory of every program of ours, as the kubelet sees it.
pub(crate) fn memory(scene: &mut Scene) -> Outcome {
    for (namespace, selector) in [(SYSTEM, "app.kubernetes.io/component=operator"), (CHAT, "")] {
        for pod in scene.cluster.list(&["pods", "--namespace", namespace, "--selector", selector])? {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            let bytes =
                wait_until("the kubelet's figures", PATIENCE, || match scene.cluster.memory(namespace, name)? {
                    0 => fail("none yet"),
                    bytes => Ok(bytes),
                })?;
            // The figure is of the workload; a ReplicaSet's name ends in a hash.
            let owner = &pod["metadata"]["ownerReferences"][0];
            let mut workload = owner["name"].as_str().unwrap_or(name);
            if owner["kind"] == "ReplicaSet" {
                workload = workload.rsplit_once('-').map_or(workload, |(deployment, _)| deployment);
            }
            scene.figures.bytes(&format!("idle_memory_{workload}"), bytes);
        }
    }
    Ok(())
}

pub(crate) fn federation(scene: &mut Scene, people: &People) -> Outcome {
    let networks = scene.all("networks")?;
    let domain_of = |name: &str| {
        networks.iter().find(|n| n["metadata"]["name"] == name).map(|n| n["spec"]["domain"].clone()).unwrap_or_default()
    };
    let home = domain_of(&people.network);
    let peer = networks.iter().find(|n| {
        n["spec"]["federation"]["mode"] == "Restricted"
            && n["spec"]["federation"]["peers"]
                .as_array()
                .is_some_and(|peers| peers.iter().any(|p| p["domain"] == home))
    });
    let Some(peer) = peer.and_then(|n| n["metadata"]["name"].as_str()) else {
        return fail(format!("the examples hold no network that federates with {home}"));
    };
    let users = pending_users(scene, peer)?;
    let Some(user) = users.first() else { return fail(format!("network {peer} has no user who waits to join")) };
    let carol = Person::join(scene, user)?;
    bucket_policy(scene, peer)?;
    people.alice.send(scene, &carol, ACROSS)?;
    let received = carol.sotto(scene, "receive")?.args(["--timeout", "30s", "--output", "json"]).output()?;
    ensure(received.contains(ACROSS), || format!("{} received:\n{received}", carol.address))?;
    // Both networks keep what their people said: one on a volume, one in a bucket.
    all_recorded(scene, people, &[ACROSS.to_owned()])?;
    in_bucket(scene, ACROSS)
}

/// A RetentionPolicy for the other network, with an S3 bucket of the AWS stand-in.
fn bucket_policy(scene: &Scene, network: &str) -> Outcome {
    let region = json!({"LocationConstraint": Aws::REGION});
    Aws::new(&scene.cluster).call(
        "s3",
        "create_bucket",
        &json!({"Bucket": BUCKET, "CreateBucketConfiguration": region}),
    )?;
    scene.cluster.apply(&json!({
        "apiVersion": "sotto.dev/v1alpha1", "kind": "RetentionPolicy",
        "metadata": {"name": BUCKET_POLICY, "namespace": CHAT},
        "spec": {
            "networkRef": {"name": network},
            "deletionPolicy": "Delete",
            "destination": {"s3": {
                "bucket": BUCKET, "prefix": "chat", "region": Aws::REGION,
                "endpointURL": Aws::ENDPOINT, "credentialsSecretName": "aws",
            }},
        },
    }))?;
    all_ready(scene, PATIENCE)
}

/// Waits until an object of the bucket holds this text; then the policy goes, and nothing of it stays but the objects.
fn in_bucket(scene: &Scene, text: &str) -> Outcome {
    let aws = Aws::new(&scene.cluster);
    wait_until(&format!("an object that holds `{text}`"), PATIENCE, || {
        let listing = aws.call("s3", "list_objects_v2", &json!({"Bucket": BUCKET, "Prefix": "chat/"}))?;
        let keys: Vec<&str> =
            listing["Contents"].as_array().into_iter().flatten().filter_map(|o| o["Key"].as_str()).collect();
        for key in &keys {
            let object = aws.call("s3", "get_object", &json!({"Bucket": BUCKET, "Key": key}))?;
            if object["Body"].as_str().is_some_and(|body| body.contains(text)) {
                return Ok(());
            }
        }
        fail(format!("there are {keys:?}"))
    })?;
    let delete = ["delete", "retentionpolicy", BUCKET_POLICY, "--namespace", CHAT, "--timeout=60s"];
    scene.cluster.kubectl().args(delete).limit(PATIENCE).output().map(drop)
}
