//! Questions to the AWS stand-in (moto): what has arrived there.

use serde_json::Value;

use crate::{Cluster, Outcome, Run, repository, tool_cache};

/// The AWS stand-in that the cluster's programs reach.
#[derive(Clone, Copy, Debug)]
pub struct Aws<'a> {
    cluster: &'a Cluster,
}

impl<'a> Aws<'a> {
    /// Where pods reach it: the bridge's address inside the cluster.
    pub const ENDPOINT: &'static str = "http://10.244.0.1:5555";
    /// The region that the tests use.
    pub const REGION: &'static str = "eu-central-1";

    /// The stand-in of this cluster.
    pub fn new(cluster: &'a Cluster) -> Self {
        Self { cluster }
    }

    /// One call, such as `("cloudwatch", "list_metrics", {"Namespace": "Sotto"})`, made with boto3; its answer as JSON.
    pub fn call(&self, service: &str, operation: &str, parameters: &Value) -> Outcome<Value> {
        let script = repository().join("e2e/aws/call.py");
        let run = self.cluster.inside(tool_cache().join("moto/bin/python"))?;
        run.arg(script).args([Self::ENDPOINT, Self::REGION, service, operation, &parameters.to_string()]).json()
    }

    /// The names of the metrics in a CloudWatch namespace that have this value of the dimension `Network`.
    pub fn metric_names(&self, namespace: &str, network: &str) -> Outcome<Vec<String>> {
        let parameters = serde_json::json!({
            "Namespace": namespace,
            "Dimensions": [{"Name": "Network", "Value": network}],
        });
        let answer = self.call("cloudwatch", "list_metrics", &parameters)?;
        let metrics = answer["Metrics"].as_array().cloned().unwrap_or_default();
        let mut names: Vec<String> =
            metrics.iter().filter_map(|metric| metric["MetricName"].as_str().map(str::to_owned)).collect();
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// Every dimension name that occurs in a namespace.
    pub fn dimension_names(&self, namespace: &str) -> Outcome<Vec<String>> {
        let answer = self.call("cloudwatch", "list_metrics", &serde_json::json!({"Namespace": namespace}))?;
        let mut names: Vec<String> = answer["Metrics"]
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(|metric| metric["Dimensions"].as_array().cloned().unwrap_or_default())
            .filter_map(|dimension| dimension["Name"].as_str().map(str::to_owned))
            .collect();
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// The sum of a metric over the last hour.
    pub fn metric_sum(&self, namespace: &str, network: &str, metric: &str) -> Outcome<f64> {
        let parameters = serde_json::json!({
            "Namespace": namespace,
            "MetricName": metric,
            "Dimensions": [{"Name": "Network", "Value": network}],
            "StartTime": "-3600",
            "EndTime": "+60",
            "Period": 60,
            "Statistics": ["Sum"],
        });
        let answer = self.call("cloudwatch", "get_metric_statistics", &parameters)?;
        Ok(answer["Datapoints"].as_array().into_iter().flatten().filter_map(|point| point["Sum"].as_f64()).sum())
    }

    /// Runs `aws` operations need no credentials; pods get these, which moto takes as any other.
    pub fn credentials() -> [(&'static str, &'static str); 2] {
        [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")]
    }

    /// A command with the variables by which an AWS SDK finds the stand-in.
    #[must_use]
    pub fn configure(run: Run) -> Run {
        Self::credentials()
            .into_iter()
            .fold(run.env("AWS_ENDPOINT_URL", Self::ENDPOINT).env("AWS_REGION", Self::REGION), |run, (n, v)| {
                run.env(n, v)
            })
    }
}
