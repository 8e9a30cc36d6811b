//! Every metric that Sotto has: its name for the code and for Prometheus, its name in CloudWatch, unit and help.
//!
//! The Prometheus name is the CloudWatch name in snake_case with the prefix `sotto_`, the base unit (`seconds`,
//! `bytes`) where there is one, and `total` for counters. Times are recorded in **seconds**; CloudWatch gets
//! milliseconds where its own services use them. Only what is listed here reaches CloudWatch.

/// How a metric behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows; CloudWatch gets what was added since the last interval.
    Counter,
    /// A value at a moment.
    Gauge,
    /// A distribution; CloudWatch gets values with counts, from which it makes percentiles.
    Histogram,
}

/// The unit of a metric as CloudWatch shows it. The code records counts, bytes and seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A number of things.
    Count,
    /// Bytes.
    Bytes,
    /// Seconds, in CloudWatch too.
    Seconds,
    /// Recorded in seconds, published to CloudWatch in milliseconds.
    Milliseconds,
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// The name in the code and for Prometheus.
    pub name: &'static str,
    /// The name in CloudWatch.
    pub cloudwatch: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// Its unit in CloudWatch.
    pub unit: Unit,
    /// What it means, in one sentence.
    pub help: &'static str,
}

macro_rules! metrics_table {
    ($($constant:ident = $name:literal, $cloudwatch:literal, $kind:ident, $unit:ident, $help:literal;)*) => {
        $(#[doc = $help] pub const $constant: &str = $name;)*

        /// Every metric, in the order in which documents list them.
        pub const CATALOGUE: &[Metric] = &[$(Metric {
            name: $constant,
            cloudwatch: $cloudwatch,
            kind: Kind::$kind,
            unit: Unit::$unit,
            help: $help,
        }),*];
    };
}

metrics_table! {
    // Relay
    MESSAGES_ACCEPTED = "sotto_messages_accepted_total", "MessagesAccepted", Counter, Count, "Messages made durable and acknowledged to their sender.";
    MESSAGES_DELIVERED = "sotto_messages_delivered_total", "MessagesDelivered", Counter, Count, "Messages acknowledged by a recipient device.";
    MESSAGES_EXPIRED = "sotto_messages_expired_total", "MessagesExpired", Counter, Count, "Messages removed undelivered because their time was over.";
    MESSAGES_REJECTED = "sotto_messages_rejected_total", "MessagesRejected", Counter, Count, "Messages refused; label reason.";
    DELIVERY_LATENCY = "sotto_delivery_latency_seconds", "DeliveryLatency", Histogram, Milliseconds, "Time from accepting a message to its acknowledgement by a connected device.";
    SENT_MESSAGE_SIZE = "sotto_sent_message_size_bytes", "SentMessageSize", Histogram, Bytes, "Size of accepted sealed messages.";
    ACTIVE_CONNECTIONS = "sotto_active_connections", "ActiveConnections", Gauge, Count, "Devices connected now.";
    CONNECT_SUCCESS = "sotto_connect_success_total", "ConnectSuccess", Counter, Count, "Connections of devices opened.";
    CONNECT_CLIENT_ERROR = "sotto_connect_client_error_total", "ConnectClientError", Counter, Count, "Connections refused for a reason on the device's side.";
    CONNECT_SERVER_ERROR = "sotto_connect_server_error_total", "ConnectServerError", Counter, Count, "Connections that failed on our side.";
    MESSAGES_QUEUED = "sotto_approximate_number_of_messages_queued", "ApproximateNumberOfMessagesQueued", Gauge, Count, "Messages waiting for devices, approximately.";
    OLDEST_MESSAGE_AGE = "sotto_approximate_age_of_oldest_message_seconds", "ApproximateAgeOfOldestMessage", Gauge, Seconds, "Age of the oldest message waiting, approximately.";
    PREKEYS_EXHAUSTED = "sotto_prekeys_exhausted_total", "PrekeysExhausted", Counter, Count, "Times that a device had no one-time prekey left for who asked, and the medium-term one was handed out.";
    RESPONSES_4XX = "sotto_4xx_error_total", "4XXError", Counter, Count, "Requests answered with a 4xx status; label operation.";
    RESPONSES_5XX = "sotto_5xx_error_total", "5XXError", Counter, Count, "Requests answered with a 5xx status; label operation.";
    LATENCY = "sotto_latency_seconds", "Latency", Histogram, Milliseconds, "Time from a request to its answer; label operation.";
    // Identity
    LOGIN_FAILURES = "sotto_login_failures_total", "LoginFailures", Counter, Count, "Failed log-ins of users.";
    ACCOUNTS_LOCKED = "sotto_accounts_locked_total", "AccountsLocked", Counter, Count, "Accounts locked after failed log-ins.";
    DEVICES_ADDED = "sotto_devices_added_total", "DevicesAdded", Counter, Count, "Devices registered.";
    // Federation
    FEDERATION_SUCCESS = "sotto_federation_success_total", "FederationSuccess", Counter, Count, "Requests carried to or from a peer network; label peer.";
    FEDERATION_PEER_ERROR = "sotto_federation_peer_error_total", "FederationPeerError", Counter, Count, "Requests that a peer network did not answer, or answered with a server error; label peer.";
    FEDERATION_DENIED = "sotto_federation_denied_total", "FederationDenied", Counter, Count, "Requests to or from a peer network that were refused; label peer.";
    FEDERATION_LATENCY = "sotto_federation_latency_seconds", "FederationLatency", Histogram, Milliseconds, "Time that a peer network took to answer; label peer.";
    // Retention: the twelve names that administrators know, unchanged, the files that wait, and the lag.
    RETENTION_MESSAGES_RX = "sotto_messages_rx_total", "Messages_Rx", Counter, Count, "Messages received by the retention process.";
    RETENTION_MESSAGES_RX_FAILED = "sotto_messages_rx_failed_total", "Messages_Rx_Failed", Counter, Count, "Messages that the retention process could not open.";
    RETENTION_MESSAGES_SAVED = "sotto_messages_saved_total", "Messages_Saved", Counter, Count, "Records that are durable at the destination.";
    RETENTION_MESSAGES_SAVED_FAILED = "sotto_messages_saved_failed_total", "Messages_Saved_Failed", Counter, Count, "Attempts to store a record that failed and will be repeated.";
    RETENTION_FILES_SAVED = "sotto_files_saved_total", "Files_Saved", Counter, Count, "Attachments that are durable at the destination.";
    RETENTION_FILES_SAVED_BYTES = "sotto_files_saved_bytes_total", "Files_Saved_Bytes", Counter, Bytes, "Bytes of attachments that are durable at the destination.";
    RETENTION_FILES_SAVED_FAILED = "sotto_files_saved_failed_total", "Files_Saved_Failed", Counter, Count, "Attempts to store an attachment that failed.";
    RETENTION_FILES_WAITING = "sotto_files_waiting", "Files_Waiting", Gauge, Count, "Attachments of kept messages that are still to be fetched from where they lie.";
    RETENTION_LOGINS = "sotto_logins_total", "Logins", Counter, Count, "Log-ins of the retention process; published every interval, so that missing data means that the process is gone.";
    RETENTION_LOGIN_FAILURES = "sotto_retention_login_failures_total", "Login_Failures", Counter, Count, "Failed log-ins of the retention process.";
    RETENTION_S3_POST_ERRORS = "sotto_s3_post_errors_total", "S3_Post_Errors", Counter, Count, "Failed uploads to S3.";
    RETENTION_WATCHDOG_FAILURES = "sotto_watchdog_failures_total", "Watchdog_Failures", Counter, Count, "Times that the retention process stood still for too long.";
    RETENTION_WATCHDOG_WARNINGS = "sotto_watchdog_warnings_total", "Watchdog_Warnings", Counter, Count, "Times that the retention process was slower than it should be.";
    RETENTION_LAG = "sotto_retention_lag_seconds", "RetentionLag", Gauge, Seconds, "Age of the message that was stored last when it was stored; grows while nothing can be stored.";
    RETENTION_MISSING = "sotto_retention_missing", "Messages_Missing", Gauge, Count, "Messages that somebody has sent and the retention process has not got: kept from it, or on their way late.";
    RETENTION_DIRECTORY_EXPIRED = "sotto_retention_directory_expired_seconds", "Directory_Expired", Gauge, Seconds, "For how long the newest directory head that the relay has shown to the retention process has been over; 0 while it holds.";
    RETENTION_CONFLICTS = "sotto_retention_conflicts_total", "Messages_Conflicting", Counter, Count, "Messages that do not follow what the same device has said before.";
    // Operator
    RECONCILE_SUCCESS = "sotto_reconcile_success_total", "ReconcileSuccess", Counter, Count, "Reconciliations that succeeded; label kind.";
    RECONCILE_ERROR = "sotto_reconcile_error_total", "ReconcileError", Counter, Count, "Reconciliations that failed; label kind.";
    RECONCILE_LATENCY = "sotto_reconcile_latency_seconds", "ReconcileLatency", Histogram, Milliseconds, "Time that a reconciliation took; label kind.";
    OBJECTS_MANAGED = "sotto_objects_managed", "ObjectsManaged", Gauge, Count, "Custom resources under management; label kind.";
    LEADER = "sotto_leader", "Leader", Gauge, Count, "Whether this operator process leads: 1 or 0. Over all processes the sum is 1, and for a moment 0 when leadership changes.";
    LEADER_CHANGES = "sotto_leader_changes_total", "LeaderChanges", Counter, Count, "Times that this operator process became the leader.";
    LEASE_ERRORS = "sotto_lease_errors_total", "LeaseErrors", Counter, Count, "Times that the lease of the leader election could not be read or written.";
    // About the metrics themselves
    METRIC_DATUMS_DROPPED = "sotto_metric_datums_dropped_total", "MetricDatumsDropped", Counter, Count, "Metric values that were given up because CloudWatch could not be reached for long or refused them.";
}

impl Metric {
    /// The metric with this name, if it is one of ours.
    pub fn find(name: &str) -> Option<&'static Metric> {
        CATALOGUE.iter().find(|metric| metric.name == name)
    }

    /// By how much to multiply a recorded value for CloudWatch.
    pub(crate) fn scale(&self) -> f64 {
        if self.unit == Unit::Milliseconds { 1_000.0 } else { 1.0 }
    }
}

/// Tells the current recorder the unit and help text of every metric. [`Telemetry::install`](crate::Telemetry::install)
/// does it.
pub fn describe_all() {
    for metric in CATALOGUE {
        let unit = match metric.unit {
            Unit::Count => metrics::Unit::Count,
            Unit::Bytes => metrics::Unit::Bytes,
            Unit::Seconds | Unit::Milliseconds => metrics::Unit::Seconds,
        };
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(metric.name, unit, metric.help),
            Kind::Gauge => metrics::describe_gauge!(metric.name, unit, metric.help),
            Kind::Histogram => metrics::describe_histogram!(metric.name, unit, metric.help),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_follow_the_rules() {
        let names: BTreeSet<_> = CATALOGUE.iter().map(|m| m.name).collect();
        let cloudwatch: BTreeSet<_> = CATALOGUE.iter().map(|m| m.cloudwatch).collect();
        assert_eq!(names.len(), CATALOGUE.len());
        assert_eq!(cloudwatch.len(), CATALOGUE.len());
        for metric in CATALOGUE {
            let name = metric.name;
            assert!(name.starts_with("sotto_"), "{name}");
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "{name}");
            assert_eq!(name.ends_with("_total"), metric.kind == Kind::Counter, "{name}");
            match metric.unit {
                Unit::Bytes => assert!(name.contains("_bytes"), "{name}"),
                Unit::Seconds | Unit::Milliseconds => assert!(name.ends_with("_seconds"), "{name}"),
                Unit::Count => {}
            }
            assert!(metric.cloudwatch.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
            assert!(metric.help.ends_with('.'), "{name}");
        }
    }

    #[test]
    fn the_documented_retention_names_are_unchanged() {
        for name in [
            "Messages_Rx",
            "Messages_Rx_Failed",
            "Messages_Saved",
            "Messages_Saved_Failed",
            "Files_Saved",
            "Files_Saved_Bytes",
            "Files_Saved_Failed",
            "Logins",
            "Login_Failures",
            "S3_Post_Errors",
            "Watchdog_Failures",
            "Watchdog_Warnings",
        ] {
            assert!(CATALOGUE.iter().any(|m| m.cloudwatch == name), "{name}");
        }
    }
}
