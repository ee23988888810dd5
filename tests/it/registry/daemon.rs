//! docker-registry in several variants over one storage, which holds one image.

use super::certificates::{Certificates, Pair};
use super::token::{self, TokenService};
use crate::servers::program;
use lkpkg::oci::{Descriptor, Digest, Index, Platform, media_type};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub const USER: &str = "me";
pub const PASSWORD: &str = "s3cret-pass";
/// bcrypt of [`PASSWORD`], cost 5: docker-registry takes nothing else, and few machines have a program for it.
const PASSWORD_HASH: &str = "$2y$05$abcdefghijklmnopqrstuuV7fpPozvyqJfnY19y0802WTlXUm6Rjy";
/// How long a registry may take to listen; it takes 50 ms.
const START_LIMIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(10);

/// A running registry; it ends when it is dropped.
pub struct Daemon {
    host: String,
    process: Child,
    token_service: Option<TokenService>,
}

impl Daemon {
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Who gives tokens for it.
    pub fn tokens(&self) -> &TokenService {
        self.token_service.as_ref().unwrap()
    }

    /// A registry in memory that lists referrers, by another hand than docker-registry; it holds nothing. None after a
    /// SKIP line.
    pub fn crane() -> Option<Self> {
        let mut process = Command::new(program("crane-registry")?)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut host = String::new();
        let mut lines = BufReader::new(process.stdout.take().unwrap());
        lines.read_line(&mut host).unwrap();
        Some(Self {
            host: host.trim().to_owned(),
            process,
            token_service: None,
        })
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A storage with `org/x:1` for four platforms, and a registry over it that asks nobody who they are.
pub struct Bed {
    directory: TempDir,
    program: PathBuf,
    plain: Option<Daemon>,
    pub root: Descriptor,
    pub layer: Descriptor,
}

impl Bed {
    /// None after a SKIP line.
    pub async fn start() -> Option<Self> {
        let program = program("docker-registry")?;
        let mut bed = Self {
            directory: tempfile::tempdir().unwrap(),
            program,
            plain: None,
            root: Descriptor::of("", b""),
            layer: Descriptor::of("", b""),
        };
        let plain = bed.daemon("plain", json!({}), None).await;
        (bed.root, bed.layer) = fill(plain.host()).await;
        bed.plain = Some(plain);
        Some(bed)
    }

    /// Where everything is; `storage` is the registries'.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn plain(&self) -> &str {
        self.plain.as_ref().unwrap().host()
    }

    pub async fn with_passwords(&self) -> Daemon {
        let file = self.directory.path().join("htpasswd");
        fs::write(&file, format!("{USER}:{PASSWORD_HASH}\n")).unwrap();
        let settings = json!({"auth": {"htpasswd": {"realm": "test", "path": file}}});
        self.daemon("htpasswd", settings, None).await
    }

    pub async fn with_tokens(&self) -> Option<Daemon> {
        let (settings, service) = self.token_settings().await?;
        Some(self.daemon("token", settings, Some(service)).await)
    }

    async fn token_settings(&self) -> Option<(Value, TokenService)> {
        program("openssl")?;
        let pair = self.certificates().authority("token");
        let service = TokenService::start(&pair).await;
        let settings = json!({"auth": {"token": {
            "realm": service.realm(),
            "service": token::SERVICE,
            "issuer": token::ISSUER,
            "rootcertbundle": pair.certificate,
        }}});
        Some((settings, service))
    }

    /// With the file of the authority that is to be trusted.
    pub async fn with_tls(&self) -> Option<(Daemon, PathBuf)> {
        let (settings, authority) = self.tls_settings()?;
        Some((self.daemon("tls", settings, None).await, authority.certificate))
    }

    /// Only those may talk to it who show a certificate: the authority, and the pair to be shown.
    pub async fn with_mutual_tls(&self) -> Option<(Daemon, PathBuf, Pair)> {
        let (mut settings, authority) = self.tls_settings()?;
        let clients = self.certificates().authority("clients");
        settings["http"]["tls"]["clientcas"] = json!([clients.certificate]);
        let client = self
            .certificates()
            .signed("client", "extendedKeyUsage=clientAuth", &clients);
        let daemon = self.daemon("mutual", settings, None).await;
        Some((daemon, authority.certificate, client))
    }

    /// With TLS, and a token service without; and the file of the authority.
    pub async fn with_tls_and_open_tokens(&self) -> Option<(Daemon, PathBuf)> {
        let (mut settings, authority) = self.tls_settings()?;
        let (tokens, service) = self.token_settings().await?;
        settings["auth"] = tokens["auth"].clone();
        let daemon = self.daemon("tls-and-tokens", settings, Some(service)).await;
        Some((daemon, authority.certificate))
    }

    /// With TLS, but sending whoever reads or writes a blob to `address`; and the file of the authority.
    pub async fn with_tls_that_leads_to(&self, address: &str) -> Option<(Daemon, PathBuf)> {
        let (mut settings, authority) = self.tls_settings()?;
        settings["http"]["host"] = json!(address);
        settings["middleware"] = json!({"storage": [{"name": "redirect", "options": {"baseurl": address}}]});
        let daemon = self.daemon("leads-away", settings, None).await;
        Some((daemon, authority.certificate))
    }

    /// Where the registries keep a blob, a manifest or an index.
    pub fn blob_file(&self, digest: &Digest) -> PathBuf {
        let blobs = self.directory.path().join("storage/docker/registry/v2/blobs/sha256");
        blobs.join(&digest.hex()[..2]).join(digest.hex()).join("data")
    }

    fn tls_settings(&self) -> Option<(Value, Pair)> {
        program("openssl")?;
        let authority = self.certificates().authority("authority");
        let pair = self
            .certificates()
            .signed("registry", "subjectAltName=IP:127.0.0.1", &authority);
        let tls = json!({"certificate": pair.certificate, "key": pair.key});
        Some((json!({"http": {"tls": tls}}), authority))
    }

    fn certificates(&self) -> Certificates<'_> {
        Certificates(self.directory.path())
    }

    async fn daemon(&self, name: &str, mut settings: Value, token_service: Option<TokenService>) -> Daemon {
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let host = format!("127.0.0.1:{port}");
        settings["version"] = json!(0.1);
        settings["log"] = json!({"level": "error"});
        settings["storage"] = json!({"filesystem": {"rootdirectory": self.directory.path().join("storage")}});
        settings["http"]["addr"] = json!(host);
        let file = self.directory.path().join(format!("{name}.yml"));
        // JSON is YAML.
        fs::write(&file, settings.to_string()).unwrap();
        let log = fs::File::create(self.directory.path().join(format!("{name}.log"))).unwrap();
        let process = Command::new(&self.program)
            .arg("serve")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut daemon = Daemon {
            host,
            process,
            token_service,
        };
        let began = Instant::now();
        while tokio::net::TcpStream::connect(&daemon.host).await.is_err() {
            let ended = daemon.process.try_wait().unwrap();
            let log = self.directory.path().join(format!("{name}.log"));
            assert!(
                ended.is_none() && began.elapsed() < START_LIMIT,
                "{}",
                fs::read_to_string(log).unwrap()
            );
            tokio::time::sleep(POLL).await;
        }
        daemon
    }
}

/// Uploads the image; gives its index and the layer for amd64.
pub async fn fill(host: &str) -> (Descriptor, Descriptor) {
    // Whichever test is first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::new();
    let base = format!("http://{host}/v2/org/x");
    let mut images = Vec::new();
    let mut first_layer = None;
    for architecture in ["amd64", "arm64", "riscv64", "s390x"] {
        let config = json!({"os": "linux", "architecture": architecture}).to_string();
        let config = blob(&http, &base, media_type::CONFIG, config.into_bytes()).await;
        let layer = format!("layer of {architecture}").into_bytes();
        let layer = blob(&http, &base, media_type::LAYER, layer).await;
        first_layer.get_or_insert_with(|| layer.clone());
        let manifest =
            json!({"schemaVersion": 2, "mediaType": media_type::MANIFEST, "config": config, "layers": [layer]});
        let bytes = manifest.to_string().into_bytes();
        let name = Digest::of(&bytes).to_string();
        let mut image = manifest_at(&http, &base, &name, media_type::MANIFEST, bytes).await;
        image.platform = Some(Platform::linux(architecture));
        images.push(image);
    }
    let index = serde_json::to_vec(&Index::of(images)).unwrap();
    let root = manifest_at(&http, &base, "1", media_type::INDEX, index).await;
    (root, first_layer.unwrap())
}

async fn blob(http: &reqwest::Client, base: &str, media_type: &str, bytes: Vec<u8>) -> Descriptor {
    let descriptor = Descriptor::of(media_type, &bytes);
    let begun = http.post(format!("{base}/blobs/uploads/")).send().await.unwrap();
    let location = begun.headers()["location"].to_str().unwrap().to_owned();
    let mut url = begun.url().join(&location).unwrap();
    url.query_pairs_mut().append_pair("digest", descriptor.digest.as_str());
    let done = http
        .put(url)
        .header("content-type", "application/octet-stream")
        .body(bytes)
        .send()
        .await
        .unwrap();
    assert_eq!(done.status(), 201);
    descriptor
}

async fn manifest_at(http: &reqwest::Client, base: &str, name: &str, media_type: &str, bytes: Vec<u8>) -> Descriptor {
    let descriptor = Descriptor::of(media_type, &bytes);
    let url = format!("{base}/manifests/{name}");
    let done = http
        .put(url)
        .header("content-type", media_type)
        .body(bytes)
        .send()
        .await
        .unwrap();
    assert_eq!(done.status(), 201);
    descriptor
}
