//! Nothing is written past the fence.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::client::{Body, ClientBuilder};
use kube::{Api, Client};
use serde_json::json;
use tower::BoxError;

use super::super::clock::Clock;
use super::super::fence::Fence;

/// Seconds, set by the test.
#[derive(Debug, Default)]
struct Hand(AtomicU64);

impl Clock for Hand {
    fn now(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::SeqCst))
    }
}

/// What reached the API server.
type Seen = Arc<Mutex<Vec<String>>>;

/// A client whose server answers everything with a ConfigMap, after `delay`.
fn scene(delay: Duration) -> (Arc<Hand>, Fence, Client, Seen) {
    let clock = Arc::new(Hand::default());
    let fence = Fence::closed(clock.clone(), Duration::from_secs(4));
    let seen = Seen::default();
    let server = {
        let seen = seen.clone();
        tower::service_fn(move |request: Request<Body>| {
            let seen = seen.clone();
            async move {
                tokio::time::sleep(delay).await;
                seen.lock().unwrap().push(format!("{} {}", request.method(), request.uri()));
                let answer = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
                Ok::<_, BoxError>(Response::new(Body::from(answer.to_string().into_bytes())))
            }
        })
    };
    let client = ClientBuilder::new(server, "chat").with_layer(&fence).build();
    (clock, fence, client, seen)
}

fn is_fenced<T: std::fmt::Debug>(result: Result<T, kube::Error>) -> bool {
    result.unwrap_err().to_string().contains("not the leader")
}

#[tokio::test]
async fn every_kind_of_write_is_refused_and_reading_is_not() {
    let (_, fence, client, seen) = scene(Duration::ZERO);
    let api: Api<ConfigMap> = Api::default_namespaced(client);
    let map = ConfigMap::default();
    assert!(is_fenced(api.create(&PostParams::default(), &map).await));
    assert!(is_fenced(api.replace("a", &PostParams::default(), &map).await));
    assert!(is_fenced(api.delete("a", &DeleteParams::default()).await));
    let patch = Patch::Apply(json!({"apiVersion": "v1", "kind": "ConfigMap"}));
    assert!(is_fenced(api.patch("a", &PatchParams::apply("x"), &patch).await));
    assert!(seen.lock().unwrap().is_empty());
    api.get("a").await.unwrap();
    assert_eq!(seen.lock().unwrap().len(), 1);
    // Without an election nothing is refused, and nothing is added to the request.
    fence.open();
    api.replace("a", &PostParams::default(), &map).await.unwrap();
    assert_eq!(seen.lock().unwrap().pop().unwrap(), "PUT /api/v1/namespaces/chat/configmaps/a?");
}

#[tokio::test]
async fn writes_end_with_the_time_and_say_so_to_the_api_server() {
    let (clock, fence, client, seen) = scene(Duration::ZERO);
    let api: Api<ConfigMap> = Api::default_namespaced(client);
    clock.0.store(100, Ordering::SeqCst);
    fence.open_until(Duration::from_secs(110));
    api.delete("a", &DeleteParams::default()).await.unwrap();
    // Ten seconds of ours, and half of those in which nobody leads.
    let sent = seen.lock().unwrap().pop().unwrap();
    assert!(sent.ends_with("timeout=12000ms"), "{sent}");
    clock.0.store(110, Ordering::SeqCst);
    assert!(is_fenced(api.delete("a", &DeleteParams::default()).await));
    assert!(fence.check().is_err());
    fence.open_until(Duration::from_mins(2));
    fence.check().unwrap();
    fence.close();
    assert!(is_fenced(api.delete("a", &DeleteParams::default()).await));
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_write_that_waits_below_the_fence_is_not_sent_after_the_time() {
    let (clock, fence, client, seen) = scene(Duration::from_millis(50));
    let api: Api<ConfigMap> = Api::default_namespaced(client);
    fence.open_until(Duration::from_secs(10));
    let write = tokio::spawn(async move { api.delete("a", &DeleteParams::default()).await });
    // It has begun to wait; then the process is stopped for a minute.
    tokio::time::sleep(Duration::from_millis(10)).await;
    clock.0.store(60, Ordering::SeqCst);
    assert!(is_fenced(write.await.unwrap()));
    assert!(seen.lock().unwrap().is_empty());
}
