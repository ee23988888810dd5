//! A registry of one image that wants credentials, as far as BuildKit needs it: scripted, so that its refusals are exact.

use lkpkg::oci::{Descriptor, Digest, media_type};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A running registry; it ends when it is dropped.
pub struct Registry {
    /// Host and port.
    pub address: String,
    /// Every `Authorization` that came.
    pub shown: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

/// What it answers.
struct Script {
    challenge: String,
    accepted: String,
    shown: Arc<Mutex<Vec<String>>>,
    blobs: BTreeMap<Digest, (&'static str, Vec<u8>)>,
    manifest: Digest,
}

impl Registry {
    /// Has the image `x:1` for amd64, for those who show `accepted`; the others are sent `challenge`.
    pub async fn start(challenge: &str, accepted: &str) -> Self {
        let shown = Arc::new(Mutex::new(Vec::new()));
        let configuration =
            br#"{"os":"linux","architecture":"amd64","config":{},"rootfs":{"type":"layers","diff_ids":[]}}"#;
        let descriptor = Descriptor::of(media_type::CONFIG, configuration);
        let manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": media_type::MANIFEST, "config": descriptor, "layers": [],
        });
        let manifest = manifest.to_string().into_bytes();
        let name = Digest::of(&manifest);
        let blobs = BTreeMap::from([
            (descriptor.digest, (media_type::CONFIG, configuration.to_vec())),
            (name.clone(), (media_type::MANIFEST, manifest)),
        ]);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let script = Arc::new(Script {
            challenge: challenge.replace("ADDRESS", &address),
            accepted: accepted.to_owned(),
            shown: shown.clone(),
            blobs,
            manifest: name,
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let script = script.clone();
                connections.spawn(async move { script.serve(stream).await });
            }
        });
        Self {
            address,
            shown,
            _tasks: tasks,
        }
    }
}

impl Script {
    async fn serve(&self, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        loop {
            let (mut head, mut line) = (Vec::new(), String::new());
            while stream.read_line(&mut line).await.is_ok_and(|read| read > 2) {
                head.push(std::mem::take(&mut line));
            }
            let Some(request) = head.first() else { return };
            let shown = head
                .iter()
                .find_map(|line| line.strip_prefix("Authorization: "))
                .map(str::trim);
            self.shown
                .lock()
                .expect("not poisoned")
                .extend(shown.map(str::to_owned));
            let answer = self.answer(request, shown);
            if stream.write_all(&answer).await.is_err() {
                return;
            }
        }
    }

    fn answer(&self, request: &str, shown: Option<&str>) -> Vec<u8> {
        let text = |status: &str, headers: &str, body: &[u8]| {
            let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
            let body: &[u8] = if request.starts_with("HEAD") { b"" } else { body };
            [head.as_bytes(), body].concat()
        };
        if shown != Some(self.accepted.as_str()) {
            return text(
                "401 Unauthorized",
                &format!("WWW-Authenticate: {}\r\n", self.challenge),
                b"",
            );
        }
        let last = request
            .split(' ')
            .nth(1)
            .unwrap_or_default()
            .rsplit('/')
            .next()
            .unwrap_or_default();
        let digest = if last == "1" {
            Ok(self.manifest.clone())
        } else {
            last.parse()
        };
        match digest
            .ok()
            .and_then(|digest| self.blobs.get(&digest).map(|found| (digest, found)))
        {
            Some((digest, (media_type, bytes))) => {
                let headers = format!("Content-Type: {media_type}\r\nDocker-Content-Digest: {digest}\r\n");
                text("200 OK", &headers, bytes)
            }
            None => text("404 Not Found", "", b""),
        }
    }
}
