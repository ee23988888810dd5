//! A token service for docker-registry (distribution's docs/spec/auth/token.md, jwt.md and oauth.md).

use super::certificates::{Pair, sign};
use super::daemon::{PASSWORD, USER};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

pub const ISSUER: &str = "test-issuer";
pub const SERVICE: &str = "test-registry";
/// What `docker login` keeps instead of a password where a token service gives it.
pub const IDENTITY: &str = "s3cret-identity";

/// Gives tokens to [`USER`] and to whoever has [`IDENTITY`]; it ends when it is dropped.
pub struct TokenService {
    realm: String,
    signer: Arc<Signer>,
    seen: Arc<Mutex<Vec<Seen>>>,
    _tasks: JoinSet<()>,
}

/// What it was asked.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    /// Those for which it gave a token, or would have.
    pub scopes: Vec<String>,
    /// The fields of a form, sorted.
    pub form: Vec<(String, String)>,
}

struct Signer {
    /// The certificate, as it goes into a token.
    der: String,
    key: PathBuf,
}

impl TokenService {
    pub async fn start(pair: &Pair) -> Self {
        let pem = std::fs::read_to_string(&pair.certificate).unwrap();
        let signer = Arc::new(Signer {
            der: pem.lines().filter(|line| !line.contains("-----")).collect(),
            key: pair.key.clone(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let realm = format!("http://{}/token", listener.local_addr().unwrap());
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (own_signer, own_seen) = (Arc::clone(&signer), Arc::clone(&seen));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (head, body) = read(&mut stream).await;
                let reply = answer(&head, &body, &own_signer, &own_seen);
                let _ = stream.write_all(reply.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        Self {
            realm,
            signer,
            seen,
            _tasks: tasks,
        }
    }

    pub fn realm(&self) -> &str {
        &self.realm
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// A token as somebody gets it who did not ask for it by a registry's challenge.
    pub fn token(&self, scopes: &[&str]) -> String {
        let scopes: Vec<String> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        self.signer.token(SERVICE, &scopes)
    }
}

async fn read(stream: &mut TcpStream) -> (String, String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).await.unwrap();
    (head, String::from_utf8_lossy(&body).into_owned())
}

/// A token for those who show the password or the identity token; an empty one, which opens nothing, for those who show
/// none.
fn answer(head: &str, body: &str, signer: &Signer, seen: &Mutex<Vec<Seen>>) -> String {
    let mut words = head.lines().next().unwrap_or_default().split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or("/"));
    let parsed = |query: &str| {
        let url = reqwest::Url::parse(&format!("http://x/?{query}")).unwrap();
        let mut pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        pairs.sort();
        pairs
    };
    let form = parsed(body);
    let fields = if method == "POST" {
        form.clone()
    } else {
        parsed(path.split_once('?').map_or("", |(_, query)| query))
    };
    let all = |name: &str| {
        let values = fields.iter().filter(|(key, _)| key == name);
        let words = values.flat_map(|(_, value)| value.split(' ').map(str::to_owned));
        words.collect::<Vec<_>>()
    };
    let scopes = all("scope");
    seen.lock().unwrap().push(Seen {
        method: method.to_owned(),
        scopes: scopes.clone(),
        form: if method == "POST" { form } else { Vec::new() },
    });
    let shown = head.lines().find_map(|line| line.strip_prefix("authorization: Basic "));
    let is_known = match (method, shown) {
        ("POST", _) => Some(all("grant_type") == ["refresh_token"] && all("refresh_token") == [IDENTITY]),
        (_, Some(shown)) => Some(shown == STANDARD.encode(format!("{USER}:{PASSWORD}"))),
        _ => None,
    };
    let allowed = match is_known {
        Some(false) => return "HTTP/1.1 401 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned(),
        Some(true) => scopes,
        None => Vec::new(),
    };
    let token = signer.token(&all("service")[0], &allowed);
    // As the two protocols have it.
    let name = if method == "POST" { "access_token" } else { "token" };
    let body = json!({name: token, "expires_in": 300}).to_string();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

impl Signer {
    fn token(&self, service: &str, scopes: &[String]) -> String {
        let access = scopes.iter().map(|scope| {
            let parts: Vec<_> = scope.split(':').collect();
            json!({"type": parts[0], "name": parts[1], "actions": parts[2].split(',').collect::<Vec<_>>()})
        });
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let header = json!({"typ": "JWT", "alg": "RS256", "x5c": [self.der]});
        let claims = json!({
            "iss": ISSUER, "sub": USER, "aud": service, "jti": format!("{now}"),
            "exp": now + 300, "nbf": now - 10, "iat": now, "access": access.collect::<Vec<_>>(),
        });
        let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", encode(header), encode(claims));
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(sign(&self.key, file.path())))
    }
}
