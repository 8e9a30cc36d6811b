//! A stand-in for the kubelet of one node: it answers every question for a log with the same text.

use std::sync::Arc;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::kubernetes::runtime;
use crate::{ApiServer, Failure, Outcome};

/// A node whose pods have logs. It ends when dropped; the Node stays.
pub struct Kubelet {
    _runtime: Runtime,
}

impl Kubelet {
    /// Makes the Node of this name, and answers for its pods: `log` for a container as it is, `before` for one before its restart.
    pub fn start(api: &ApiServer, node: &str, log: &str, before: &str) -> Outcome<Self> {
        let runtime = runtime("kubelet")?;
        let broken = |e: &dyn std::fmt::Display| Failure(format!("the stand-in kubelet: {e}"));
        let certificate = CertificateDer::from_pem_file(api.folder().join("apiserver.crt")).map_err(|e| broken(&e))?;
        let key = PrivateKeyDer::from_pem_file(api.folder().join("apiserver.key")).map_err(|e| broken(&e))?;
        let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| broken(&e))?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .map_err(|e| broken(&e))?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let port = listener.local_addr()?.port();
        let texts = Arc::new([log.to_owned(), before.to_owned()]);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, texts) = (acceptor.clone(), Arc::clone(&texts));
                // What goes wrong the API server tells.
                tokio::spawn(async move { answer(stream, acceptor, &texts).await });
            }
        });
        let status = json!({
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        });
        api.apply(&json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}, "status": status}))?;
        Ok(Self { _runtime: runtime })
    }
}

async fn answer(stream: TcpStream, acceptor: TlsAcceptor, texts: &[String; 2]) -> std::io::Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    let mut asked = Vec::new();
    let mut part = [0; 1024];
    while !asked.windows(4).any(|end| end == b"\r\n\r\n") {
        let count = stream.read(&mut part).await?;
        if count == 0 {
            return Ok(());
        }
        asked.extend_from_slice(&part[..count]);
    }
    let line = asked.split(|b| *b == b'\r').next().unwrap_or_default();
    let text = &texts[usize::from(String::from_utf8_lossy(line).contains("previous=true"))];
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        text.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}
