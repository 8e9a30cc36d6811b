//! An S3 bucket, of AWS or of anything that speaks its protocol. An object is there when the answer says so.

use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig, meta::region::RegionProviderChain};
use aws_sdk_s3::config::{RequestChecksumCalculation, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use aws_sdk_s3::types::ServerSideEncryption;
use aws_sdk_s3::{Client, operation::put_object::PutObjectError};
use bytes::Bytes;
use http_body_util::Full;
use sotto_telemetry::names;
use tokio::time::timeout;

use super::{Destination, DestinationError, Object};
use crate::name::ObjectName;

/// For a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// For a small object; a large one gets a second more for each `SLOWEST` bytes.
const PATIENCE: Duration = Duration::from_secs(30);
const SLOWEST: u64 = 100_000;

/// Where in S3, and how.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    /// Its name.
    pub(crate) name: String,
    /// Of every key; empty for none.
    pub(crate) prefix: String,
    /// Key of server-side encryption (SSE-KMS); the bucket's own setting where there is none.
    pub(crate) kms_key: Option<String>,
    /// For clear attachments on their way.
    pub(crate) spool: PathBuf,
}

/// A bucket.
pub(crate) struct S3 {
    client: Client,
    target: Bucket,
}

impl S3 {
    /// With credentials and, where they are not given, region and endpoint as the AWS SDK finds them. Does not talk to
    /// the bucket yet.
    pub(crate) async fn connect(target: Bucket, region: Option<String>, endpoint: Option<String>) -> Self {
        let region = RegionProviderChain::first_try(region.map(Region::new))
            .or_default_provider()
            .or_else(Region::from_static("us-east-1"));
        let mut loader = aws_config::defaults(BehaviorVersion::latest()).region(region);
        if let Some(endpoint) = endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        let config = loader.load().await;
        let elsewhere = config.endpoint_url().is_some() || std::env::var_os("AWS_ENDPOINT_URL_S3").is_some();
        Self::with_config(target, &config, elsewhere)
    }

    fn with_config(target: Bucket, config: &SdkConfig, elsewhere: bool) -> Self {
        let mut builder = aws_sdk_s3::config::Builder::from(config)
            .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT).build())
            // Every failure is counted and tried again by ourselves, for as long as it takes.
            .retry_config(RetryConfig::disabled());
        if elsewhere {
            // Not every endpoint has a DNS name for each bucket, or knows the newer checksums.
            builder =
                builder.force_path_style(true).request_checksum_calculation(RequestChecksumCalculation::WhenRequired);
        }
        Self { client: Client::from_conf(builder.build()), target }
    }

    fn key(&self, name: &ObjectName) -> String {
        match self.target.prefix.as_str() {
            "" => name.as_str().to_owned(),
            prefix => format!("{prefix}/{}", name.as_str()),
        }
    }

    async fn put(&self, name: &ObjectName, object: Object) -> Result<(), DestinationError> {
        let (body, media_type, size) = match object {
            Object::Bytes { bytes, media_type } => {
                let size = bytes.len() as u64;
                (hidden(bytes), media_type, size)
            }
            Object::File(path) => {
                let size = tokio::fs::metadata(&path).await.map_err(|e| DestinationError::io(&path, e))?.len();
                let body = ByteStream::from_path(&path)
                    .await
                    .map_err(|e| DestinationError::io(&path, std::io::Error::other(e.to_string())))?;
                // The sender's word for it would decide how a browser shows it.
                (body, "application/octet-stream", size)
            }
        };
        let mut call = self
            .client
            .put_object()
            .bucket(&self.target.name)
            .key(self.key(name))
            .content_type(media_type)
            .content_length(i64::try_from(size).unwrap_or(i64::MAX))
            .body(body);
        if let Some(key) = &self.target.kms_key {
            call = call.server_side_encryption(ServerSideEncryption::AwsKms).ssekms_key_id(key);
        }
        let patience = PATIENCE + Duration::from_secs(size / SLOWEST);
        match timeout(patience, call.send()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(self.error(&error)),
            Err(_) => Err(self.failed(format!("no answer within {} s", patience.as_secs()), REACH)),
        }
    }

    fn error(&self, error: &SdkError<PutObjectError>) -> DestinationError {
        let Some(code) = error.code() else {
            // What lies deepest says most: `connection refused` rather than `dispatch failure`.
            let mut reason = error.to_string();
            let mut next = error.source();
            while let Some(cause) = next {
                reason = format!("{error}: {cause}");
                next = cause.source();
            }
            return self.failed(reason, REACH);
        };
        let message = error.message().unwrap_or_default();
        let clean: String = message.chars().filter(|c| !c.is_control()).take(500).collect();
        let remedy = match code {
            "NoSuchBucket" => "create the bucket, or correct the destination of the policy",
            "AccessDenied" | "Forbidden" => "allow s3:PutObject (and kms:GenerateDataKey, where a key is set) there",
            "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "ExpiredToken" => "correct the AWS credentials",
            _ if code.starts_with("KMS") => "see that the KMS key is enabled and may be used",
            _ => "it is tried again",
        };
        self.failed(format!("{code}: {clean}"), remedy)
    }

    fn failed(&self, reason: String, remedy: &'static str) -> DestinationError {
        DestinationError::S3 { bucket: self.target.name.clone(), reason, remedy }
    }
}

const REACH: &str = "see that the endpoint can be reached from here and that there are AWS credentials";

impl Destination for S3 {
    fn describe(&self) -> String {
        format!("bucket s3://{}/{}", self.target.name, self.target.prefix)
    }

    fn spool(&self) -> &Path {
        &self.target.spool
    }

    async fn store(&self, name: &ObjectName, object: Object) -> Result<(), DestinationError> {
        let stored = self.put(name, object).await;
        if stored.is_err() {
            metrics::counter!(names::RETENTION_S3_POST_ERRORS).increment(1);
        }
        stored
    }
}

/// A body that the SDK cannot show: at level `trace` it logs requests, and with them bodies that it holds in memory.
fn hidden(bytes: Bytes) -> ByteStream {
    ByteStream::new(SdkBody::retryable(move || SdkBody::from_body_1_x(Full::new(bytes.clone()))))
}

#[cfg(test)]
pub(crate) mod tests;
