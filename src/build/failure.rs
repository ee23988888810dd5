//! Why BuildKit could not build it: the details of a gRPC status → [`Failure`].
//!
//! BuildKit sends errors as `google.rpc.Status`; each detail is JSON under a type name (its `util/grpcerrors`).

mod kind;

pub use kind::FailureKind;

use bollard_buildkit_proto::google::rpc;
use prost::Message as _;
use serde::Deserialize;
use std::fmt;

/// How many lines around the failing ones are shown.
const LINES_AROUND: u32 = 2;

/// A build that failed: what, where, and why.
#[derive(Clone, Debug, Default)]
pub struct Failure {
    /// What sort of failure it is.
    pub kind: FailureKind,
    /// BuildKit's text, without what the other fields say.
    pub message: String,
    /// Digest of the vertex that failed; empty when unknown.
    pub vertex: String,
    /// Name of the vertex that failed, `[linux/arm64 2/3] RUN make`; empty when unknown.
    pub vertex_name: String,
    /// Where in the Dockerfile.
    pub location: Option<Location>,
    /// Exit code of the program that RUN ran.
    pub exit_code: Option<u32>,
}

/// A place in the Dockerfile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Location {
    /// The Dockerfile's name.
    pub file: String,
    /// First line that failed, counted from 1.
    pub line: u32,
    /// Last line that failed.
    pub last_line: u32,
    /// These lines and a few around them: (number, text).
    pub lines: Vec<(u32, String)>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(location) = &self.location {
            write!(f, "{}:{}: ", location.file, location.line)?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl Failure {
    /// Reads what BuildKit sent.
    pub(super) fn decode(status: &tonic::Status) -> Self {
        let mut failure = Self {
            message: status.message().to_owned(),
            ..Self::default()
        };
        let details = rpc::Status::decode(status.details()).unwrap_or_default().details;
        for detail in details {
            // `github.com/moby/buildkit/errdefs.Source+json`, or the protocol's name for it.
            let name = detail.type_url.rsplit(['/', '.']).next().unwrap_or_default();
            match name.trim_end_matches("+json") {
                "Source" => failure.locate(&detail.value),
                "Vertex" => failure.vertex = read::<VertexDetail>(&detail.value).digest,
                "ExitMessage" => failure.exit_code = read::<ExitDetail>(&detail.value).code,
                _ => {}
            }
        }
        failure.kind = FailureKind::of(&failure.message, failure.exit_code);
        failure.message = failure.kind.shorten(&failure.message).to_owned();
        failure
    }

    /// Adds what only the status stream knows.
    pub(super) fn with_vertex(mut self, name: &str, said: &str) -> Self {
        self.vertex_name = name.to_owned();
        if kind::is_foreign_program(said) {
            self.kind = FailureKind::Emulation;
        }
        self
    }

    /// What the user can do next, where that is known.
    pub fn hint(&self) -> Option<String> {
        self.kind.hint(&self.message)
    }

    fn locate(&mut self, json: &[u8]) {
        let source: SourceDetail = read(json);
        let (Some(info), Some(range)) = (source.info, source.ranges.first()) else {
            return;
        };
        // An error can be wrapped twice; the first place is the innermost.
        if self.location.is_some() {
            return;
        }
        let line = range.start.line;
        let last_line = source
            .ranges
            .iter()
            .map(|range| range.end.line)
            .max()
            .unwrap_or(line)
            .max(line);
        let text = String::from_utf8_lossy(&info.data.0).into_owned();
        let shown = line.saturating_sub(LINES_AROUND)..=last_line.saturating_add(LINES_AROUND);
        let lines = (1..).zip(text.lines()).filter(|(number, _)| shown.contains(number));
        self.location = Some(Location {
            file: info.filename,
            line,
            last_line,
            lines: lines.map(|(number, line)| (number, line.to_owned())).collect(),
        });
    }
}

fn read<'a, T: Deserialize<'a> + Default>(json: &'a [u8]) -> T {
    // A detail that cannot be read is left out: the message says the main thing.
    serde_json::from_slice(json).unwrap_or_default()
}

#[derive(Default, Deserialize)]
struct VertexDetail {
    #[serde(default)]
    digest: String,
}

#[derive(Default, Deserialize)]
struct ExitDetail {
    #[serde(default, alias = "Code")]
    code: Option<u32>,
}

#[derive(Default, Deserialize)]
struct SourceDetail {
    info: Option<InfoDetail>,
    #[serde(default)]
    ranges: Vec<RangeDetail>,
}

#[derive(Default, Deserialize)]
struct InfoDetail {
    #[serde(default)]
    filename: String,
    #[serde(default)]
    data: Base64,
}

#[derive(Default, Deserialize)]
struct RangeDetail {
    #[serde(default)]
    start: PositionDetail,
    #[serde(default)]
    end: PositionDetail,
}

#[derive(Default, Deserialize)]
struct PositionDetail {
    #[serde(default)]
    line: u32,
}

/// Bytes as Go writes them into JSON.
#[derive(Default)]
struct Base64(Vec<u8>);

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use base64::Engine as _;
        let text = String::deserialize(deserializer)?;
        let bytes = base64::engine::general_purpose::STANDARD.decode(text);
        bytes.map(Self).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use bollard_buildkit_proto::google::protobuf::Any;

    fn status(message: &str, details: &[(&str, String)]) -> tonic::Status {
        let details = details.iter().map(|(name, json)| Any {
            type_url: (*name).to_owned(),
            value: json.clone().into_bytes(),
        });
        let proto = rpc::Status {
            code: 2,
            message: message.to_owned(),
            details: details.collect(),
        };
        tonic::Status::with_details(tonic::Code::Unknown, message, proto.encode_to_vec().into())
    }

    #[test]
    fn details_are_read() {
        let file =
            base64::engine::general_purpose::STANDARD.encode("FROM a\n\n# two\nRUN x\nRUN false\nCOPY b /\n\nEND\n");
        let source = format!(
            r#"{{"info":{{"filename":"Dockerfile","data":"{file}","definition":{{}}}},"ranges":[{{"start":{{"line":5}},"end":{{"line":5}}}}]}}"#
        );
        let failure = Failure::decode(&status(
            "process \"false\" did not complete successfully: exit code: 7",
            &[
                ("github.com/moby/buildkit/errdefs.Source+json", source),
                ("errdefs.Vertex", r#"{"digest":"sha256:12"}"#.into()),
                (
                    "github.com/moby/buildkit/gatewayapi.ExitMessage+json",
                    r#"{"Code":7}"#.into(),
                ),
                ("github.com/moby/buildkit/stack.Stack+json", r#"{"frames":[]}"#.into()),
                ("errdefs.Subrequest", "not json".into()),
            ],
        ))
        .with_vertex("[2/2] RUN false", "");
        assert_eq!(
            failure.to_string(),
            "Dockerfile:5: process \"false\" did not complete successfully: exit code: 7"
        );
        assert_eq!((failure.exit_code, failure.vertex.as_str()), (Some(7), "sha256:12"));
        let location = failure.location.expect("is there");
        let numbers: Vec<u32> = location.lines.iter().map(|(number, _)| *number).collect();
        assert_eq!(
            (numbers, location.lines[2].1.as_str()),
            (vec![3, 4, 5, 6, 7], "RUN false")
        );
        assert_eq!(failure.kind, FailureKind::Run);
    }

    #[test]
    fn damaged_details_do_no_harm() {
        let odd = [
            ("errdefs.Source", "[]".to_owned()),
            ("gateway.ExitMessage", r#"{"Code":-1}"#.to_owned()),
        ];
        let failure = Failure::decode(&status("x", &odd));
        assert_eq!((failure.to_string().as_str(), failure.exit_code), ("x", None));
        let none = Failure::decode(&tonic::Status::with_details(
            tonic::Code::Unknown,
            "y",
            vec![255, 255].into(),
        ));
        assert_eq!(none.to_string(), "y");
    }
}
