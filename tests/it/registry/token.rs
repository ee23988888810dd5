//! A token service for docker-registry (distribution's docs/spec/auth/token.md and jwt.md).

use super::daemon::{PASSWORD, USER, sign};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

pub const ISSUER: &str = "test-issuer";

/// Gives tokens to [`USER`]; it ends when it is dropped.
pub struct TokenService {
    realm: String,
    _tasks: JoinSet<()>,
}

impl TokenService {
    pub async fn start(certificate: &Path, key: PathBuf) -> Self {
        let pem = std::fs::read_to_string(certificate).unwrap();
        let der: String = pem.lines().filter(|line| !line.contains("-----")).collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let realm = format!("http://{}/token", listener.local_addr().unwrap());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => break,
                    }
                }
                let reply = answer(&String::from_utf8_lossy(&head), &der, &key);
                let _ = stream.write_all(reply.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        Self { realm, _tasks: tasks }
    }

    pub fn realm(&self) -> &str {
        &self.realm
    }
}

/// A token for those who show the password; an empty one, which opens nothing, for those who show none.
fn answer(head: &str, der: &str, key: &Path) -> String {
    let line = head.lines().next().unwrap_or_default();
    let url = reqwest::Url::parse(&format!("http://x{}", line.split(' ').nth(1).unwrap_or("/"))).unwrap();
    let all = |name: &str| {
        url.query_pairs()
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
            .collect::<Vec<_>>()
    };
    let shown = head.lines().find_map(|line| line.strip_prefix("authorization: Basic "));
    let expected = STANDARD.encode(format!("{USER}:{PASSWORD}"));
    if shown.is_some_and(|shown| shown != expected) {
        return "HTTP/1.1 401 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned();
    }
    let scopes = all("scope");
    let access = scopes.iter().filter(|_| shown.is_some()).map(|scope| {
        let parts: Vec<_> = scope.split(':').collect();
        json!({"type": parts[0], "name": parts[1], "actions": parts[2].split(',').collect::<Vec<_>>()})
    });
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let header = json!({"typ": "JWT", "alg": "RS256", "x5c": [der]});
    let claims = json!({
        "iss": ISSUER, "sub": USER, "aud": all("service")[0], "jti": format!("{now}"),
        "exp": now + 300, "nbf": now - 10, "iat": now, "access": access.collect::<Vec<_>>(),
    });
    let encode = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", encode(header), encode(claims));
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let signature = URL_SAFE_NO_PAD.encode(sign(key, file.path()));
    let body = json!({"token": format!("{text}.{signature}"), "expires_in": 300}).to_string();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}
