//! Reads what a tree is made of. What may not be read is said, and the rest is shown.

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{Event as CoreEvent, PersistentVolumeClaim, Pod as CorePod};
use kube::api::ApiResource;

use crate::access::Cluster;
use crate::error::KubeError;
use crate::objects::{Seen, kinds};
use crate::tree::Scene;
use crate::workloads::{Claim, Event, Pod, Workload};

/// What the operator makes.
pub(crate) const OWNED: &str = "app.kubernetes.io/managed-by=sotto-operator";
/// The operator itself, as the chart labels it.
pub(crate) const OPERATOR: &str = "app.kubernetes.io/name=sotto,app.kubernetes.io/component=operator";

/// Reads the objects of the namespace that is meant, or of all, and what runs for them.
pub async fn scene(cluster: &Cluster) -> Result<Scene, KubeError> {
    let scope = cluster.scope();
    let mut scene = Scene::default();
    for kind in kinds() {
        let objects = &mut scene.objects;
        cluster.each(&kind, scope, None, |value| objects.push(Seen::of(&value))).await?;
    }
    let mut unread = Vec::new();
    let mut owned = Vec::new();
    for kind in [ApiResource::erase::<StatefulSet>(&()), ApiResource::erase::<Deployment>(&())] {
        let read = cluster.each(&kind, scope, Some(OWNED), |value| owned.push(Workload::of(&value))).await;
        unread.extend(read.err());
    }
    // Somewhere in the cluster; who may look into one namespace only does not see it, and need not be told.
    let deployments = ApiResource::erase::<Deployment>(&());
    let mut operators = Vec::new();
    let seen = cluster.each(&deployments, None, Some(OPERATOR), |value| operators.push(Workload::of(&value))).await;
    if seen.is_ok() && operators.is_empty() {
        scene.unread.push("no operator with the labels of the chart is in the cluster".to_owned());
    }
    let (pods, claims, events) = (
        ApiResource::erase::<CorePod>(&()),
        ApiResource::erase::<PersistentVolumeClaim>(&()),
        ApiResource::erase::<CoreEvent>(&()),
    );
    unread.extend(cluster.each(&pods, scope, Some(OWNED), |v| scene.pods.push(Pod::of(&v))).await.err());
    for operator in &operators {
        let read =
            cluster.each(&pods, Some(&operator.namespace), Some(OPERATOR), |v| scene.pods.push(Pod::of(&v))).await;
        unread.extend(read.err());
    }
    unread.extend(cluster.each(&claims, scope, Some(OWNED), |v| scene.claims.extend(Claim::of(&v))).await.err());
    unread.extend(cluster.each(&events, scope, None, |v| scene.events.extend(Event::warning(&v))).await.err());
    scene.workloads = owned;
    scene.workloads.extend(operators);
    scene.unread.extend(unread.iter().map(ToString::to_string));
    Ok(scene)
}
