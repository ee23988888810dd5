//! What a user may write where a builder is named: text → [`Address`]. Pure; nothing is dialled here.

use super::BuilderError;
use super::context::{host, parse, ssh};
use super::remote::{Dialled, KubePod, Tcp, Tls, Way};
use std::borrow::Cow;
use std::path::PathBuf;
use std::str::FromStr;
use url::Url;

/// What can be written, for error texts.
const SUPPORTED: &str = "a builder is the name of a Docker context, docker-container, docker-container://NAME[?context=C], \
    docker://[CONTEXT], unix:///PATH, tcp://HOST:PORT[?ca=FILE&cert=FILE&key=FILE], ssh://[USER@]HOST[:PORT], \
    kube-pod://POD[?namespace=N&container=C&context=K] or local";

/// A builder, as the user names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `unix://`, `tcp://`, `ssh://`, `kube-pod://`: a BuildKit that is only dialled.
    Dialled(Dialled),
    /// `docker-container`: our named container in the Docker daemon.
    DockerContainer,
    /// A name: our named container in the Docker daemon of this context.
    Context(String),
    /// `docker-container://name`: a BuildKit in a container that someone else looks after.
    InContainer {
        /// The container.
        name: String,
        /// The context of its daemon; None for the current one.
        context: Option<String>,
    },
    /// `docker://`: the BuildKit that is part of a Docker daemon.
    Docker {
        /// Its context; None for the current one.
        context: Option<String>,
    },
    /// `local`: a `buildkitd` that lkpkg starts itself.
    Local,
}

impl Address {
    /// The Docker context that it names.
    pub fn context(&self) -> Option<&str> {
        match self {
            Self::Context(name) => Some(name),
            Self::InContainer { context, .. } | Self::Docker { context } => context.as_deref(),
            Self::Dialled(_) | Self::DockerContainer | Self::Local => None,
        }
    }
}

impl FromStr for Address {
    type Err = BuilderError;

    fn from_str(text: &str) -> Result<Self, BuilderError> {
        read(text).map_err(|reason| BuilderError::BadAddress {
            text: text.into(),
            reason,
        })
    }
}

/// The error is a sentence's end.
fn read(text: &str) -> Result<Address, String> {
    let dialled = |way: Way| {
        Ok(Address::Dialled(Dialled {
            address: text.into(),
            way,
        }))
    };
    let Some((scheme, rest)) = text.split_once("://") else {
        return match text {
            "local" => Ok(Address::Local),
            "docker-container" => Ok(Address::DockerContainer),
            name if is_context(name) => Ok(Address::Context(name.to_owned())),
            "" => Err(format!("it is empty; {SUPPORTED}")),
            _ => Err(SUPPORTED.to_owned()),
        };
    };
    match scheme {
        "unix" if rest.starts_with('/') => dialled(Way::Unix(rest.into())),
        "unix" => Err("the path after unix:// must be absolute, as in unix:///run/buildkit/buildkitd.sock".into()),
        "tcp" => dialled(Way::Tcp(tcp(&parse(scheme, rest)?)?)),
        "ssh" => {
            let url = parse(scheme, rest)?;
            options(&url, [])?;
            // A path is BuildKit's socket there.
            let socket = url.path().trim_end_matches('/');
            let address = format!("unix://{socket}");
            let command: &[&str] = match socket.is_empty() {
                true => &["buildctl", "dial-stdio"],
                false => &["buildctl", "--addr", &address, "dial-stdio"],
            };
            dialled(Way::Program(ssh(&url)?.line(command)))
        }
        "kube-pod" => {
            let url = parse(scheme, rest)?;
            let [namespace, container, context] = options(&url, ["namespace", "container", "context"])?;
            let pod = KubePod {
                pod: host(&url)?,
                namespace,
                container,
                context,
            };
            dialled(Way::Program(pod.line(&["buildctl", "dial-stdio"])))
        }
        "docker-container" => {
            let url = parse(scheme, rest)?;
            let [context] = options(&url, ["context"])?;
            Ok(Address::InContainer {
                name: host(&url)?,
                context,
            })
        }
        "docker" if rest.is_empty() => Ok(Address::Docker { context: None }),
        "docker" if is_context(rest) => Ok(Address::Docker {
            context: Some(rest.to_owned()),
        }),
        _ => Err(format!(
            "addresses of the kind {scheme}:// are not supported; {SUPPORTED}"
        )),
    }
}

/// As the Docker program wants contexts to be called.
fn is_context(name: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric();
    name.starts_with(is_word) && name.chars().all(|c| is_word(c) || "_.+-".contains(c))
}

fn tcp(url: &Url) -> Result<Tcp, String> {
    let [ca, cert, key, server_name] = options(url, ["ca", "cert", "key", "servername"])?;
    let has_tls = ca.is_some() || cert.is_some() || key.is_some() || server_name.is_some();
    let tls = has_tls.then(|| Tls {
        ca: ca.map(PathBuf::from),
        cert: cert.map(PathBuf::from),
        key: key.map(PathBuf::from),
        skip_verify: false,
        server_name,
    });
    Ok(Tcp {
        host: host(url)?,
        port: url.port().ok_or("it names no port, as in tcp://host:1234")?,
        tls,
    })
}

/// The values of these options, in their order. Another one is a mistake.
fn options<const N: usize>(url: &Url, names: [&str; N]) -> Result<[Option<String>; N], String> {
    let mut values = [const { None }; N];
    for (name, value) in url.query_pairs() {
        let at = names.iter().position(|known| *known == name).ok_or_else(|| match N {
            0 => format!("it has no options, and {name} is one"),
            _ => format!("it has no option {name}; there are {}", names.join(", ")),
        })?;
        values[at] = Some(value).filter(|value| !value.is_empty()).map(Cow::into_owned);
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(text: &str) -> String {
        match text.parse().expect(text) {
            Address::Dialled(Dialled {
                way: Way::Program(line),
                ..
            }) => line.join(" "),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn what_is_supported_is_read() {
        let check = |text: &str, expected: Address| assert_eq!(text.parse::<Address>().expect(text), expected);
        let dialled = |text: &str, way: Way| {
            let address = text.to_owned();
            check(text, Address::Dialled(Dialled { address, way }));
        };
        dialled("unix:///run/b.sock", Way::Unix("/run/b.sock".into()));
        let tcp = |host: &str, tls: Option<Tls>| {
            Way::Tcp(Tcp {
                host: host.into(),
                port: 1234,
                tls,
            })
        };
        dialled("tcp://b.example.org:1234", tcp("b.example.org", None));
        dialled("tcp://[::1]:1234", tcp("::1", None));
        let tls = Tls {
            ca: Some("/a b/ca.pem".into()),
            cert: Some("c".into()),
            key: Some("k".into()),
            ..Tls::default()
        };
        dialled("tcp://h:1234?ca=/a%20b/ca.pem&cert=c&key=k", tcp("h", Some(tls)));
        check("docker-container", Address::DockerContainer);
        check("local", Address::Local);
        check("my-context", Address::Context("my-context".into()));
        check("docker://", Address::Docker { context: None });
        let context = Some("c".to_owned());
        check(
            "docker://c",
            Address::Docker {
                context: context.clone(),
            },
        );
        let name = "my_b".to_owned();
        check(
            "docker-container://my_b?context=c",
            Address::InContainer { name, context },
        );
    }

    #[test]
    fn programs_are_run_as_buildctl_runs_them() {
        let end = |text: &str, expected: &str| {
            let line = program(text);
            assert!(line.ends_with(expected), "{line}");
        };
        end("ssh://h", " -- h buildctl dial-stdio");
        end("ssh://u@h:22", " -l u -p 22 -- h buildctl dial-stdio");
        end(
            "ssh://h/run/b.sock",
            " -- h buildctl --addr unix:///run/b.sock dial-stdio",
        );
        end(
            "kube-pod://p?namespace=n&container=c&context=x",
            "kubectl --context=x --namespace=n exec -i --container=c p -- buildctl dial-stdio",
        );
    }

    #[test]
    fn what_is_not_supported_is_named_with_what_is() {
        let check = |text: &str, part: &str| {
            let message = text.parse::<Address>().expect_err(text).to_string();
            assert!(message.contains(part), "{message}");
        };
        check("", "it is empty");
        check("unix://b.sock", "must be absolute");
        check("tcp://host", "names no port");
        check("tcp://:1234", "empty host");
        check("tcp://host:1234?cacert=x", "no option cacert; there are ca, cert");
        check("ssh://u:secret@host", "let ssh log in with a key");
        check("ssh://host?x=y", "it has no options");
        check("kube-pod://", "no host");
        check("npipe:////./pipe/x", "npipe:// are not supported; a builder is");
        check("-x", "a builder is the name of a Docker context");
        check("docker://a/b", "not supported");
    }
}
