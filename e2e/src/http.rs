//! Plain HTTP to a server of loopback: health listeners, etcd.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use crate::{Failure, Outcome};

/// How long connecting and each read may take.
const LIMIT: Duration = Duration::from_secs(10);

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub code: u16,
    /// The body.
    pub body: String,
}

/// `GET path` at this port.
pub fn http_get(port: u16, path: &str) -> Outcome<Answer> {
    exchange(port, &format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n"))
}

/// `POST path` with a JSON body at this port.
pub fn http_post(port: u16, path: &str, json: &serde_json::Value) -> Outcome<Answer> {
    let body = json.to_string();
    let length = body.len();
    exchange(
        port,
        &format!(
            "POST {path} HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        ),
    )
}

fn exchange(port: u16, request: &str) -> Outcome<Answer> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(request.as_bytes())?;
    let mut text = String::new();
    // HTTP 1.0: the answer ends with the connection, and comes in one piece.
    stream.read_to_string(&mut text)?;
    read(&text).ok_or_else(|| Failure(format!("port {port} answers no HTTP: {text}")))
}

fn read(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let code = head.lines().next()?.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { code, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let answer = read("HTTP/1.0 503 Service Unavailable\r\ncontent-length: 3\r\n\r\nno\n").unwrap();
        assert_eq!((answer.code, answer.body.as_str()), (503, "no\n"));
        assert!(read("220 mail.example ESMTP").is_none());
    }
}
