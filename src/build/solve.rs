//! The solve itself: request → BuildKit's answer → [`Built`].

use super::status::Watcher;
use super::{BuildError, BuildRequest, Built, Failure, attributes};
use crate::builder::Endpoint;
use crate::event::Events;
use crate::oci::Descriptor;
use base64::Engine as _;
use bollard_buildkit_proto::moby::buildkit::v1::control_client::ControlClient;
use bollard_buildkit_proto::moby::buildkit::v1::{Exporter, SolveRequest};
use std::collections::HashMap;
use std::error::Error as _;
use std::pin::pin;
use std::time::Duration;
use tonic::transport::Channel;
use tonic::{Code, Status};

/// How long BuildKit may take to end the status stream after its answer: the last lines of a log come after it.
const STATUS_DRAIN_MS: u64 = 5_000;
/// Where the exporter says what it wrote: base64 of a descriptor's JSON.
const DESCRIPTOR_KEY: &str = "containerimage.descriptor";
/// Where the last of those who write caches says what it wrote: a descriptor's JSON.
const CACHE_KEY: &str = "cache.manifest";

/// One solve that is about to be run.
pub struct Solve<'a> {
    pub endpoint: &'a Endpoint,
    pub request: &'a BuildRequest,
    pub client: ControlClient<Channel>,
    /// Id of the open session.
    pub session: &'a str,
}

impl Solve<'_> {
    /// Runs it to its end. Dropping it cancels it at BuildKit's side.
    pub async fn run(self, frontend_attrs: HashMap<String, String>, events: &Events) -> Result<Built, BuildError> {
        let reference = super::identifier::random();
        let attrs = attributes::exporter(self.request);
        let message = SolveRequest {
            r#ref: reference.clone(),
            session: self.session.to_owned(),
            frontend: attributes::FRONTEND.into(),
            frontend_attrs,
            exporters: vec![Exporter {
                r#type: attributes::EXPORTER.into(),
                attrs,
            }],
            // BuildKit reads the field without asking whether it is there.
            cache: Some(attributes::caches(self.request)),
            ..SolveRequest::default()
        };
        let mut watcher = Watcher::new(&self.request.step, events);
        let mut client = self.client.clone();
        let answer = {
            let mut watch = pin!(watcher.watch(self.client.clone(), reference));
            let mut solve = pin!(client.solve(message));
            let mut is_watching = true;
            let answer = loop {
                tokio::select! {
                    answer = &mut solve => break answer,
                    () = &mut watch, if is_watching => is_watching = false,
                }
            };
            if is_watching {
                let _ = tokio::time::timeout(Duration::from_millis(STATUS_DRAIN_MS), watch).await;
            }
            answer
        };
        match answer {
            Ok(response) => {
                watcher.warn_of_caches().await;
                let response = response.into_inner().exporter_response;
                Ok(Built {
                    index: self.descriptor(&response)?,
                    cache: response
                        .get(CACHE_KEY)
                        .map(|json| self.parsed(json.as_bytes()))
                        .transpose()?,
                    warnings: watcher.warnings,
                })
            }
            Err(status) => Err(self.failed(&status, &watcher)),
        }
    }

    fn descriptor(&self, response: &HashMap<String, String>) -> Result<Descriptor, BuildError> {
        let unexpected = |reason: String| BuildError::Unexpected {
            endpoint: self.endpoint.name.clone(),
            reason,
        };
        let text = response
            .get(DESCRIPTOR_KEY)
            .ok_or_else(|| unexpected("it does not say what it exported".into()))?;
        let json = base64::engine::general_purpose::STANDARD
            .decode(text)
            .map_err(|e| unexpected(e.to_string()))?;
        self.parsed(&json)
    }

    fn parsed(&self, json: &[u8]) -> Result<Descriptor, BuildError> {
        let full: Descriptor = serde_json::from_slice(json).map_err(|error| BuildError::Unexpected {
            endpoint: self.endpoint.name.clone(),
            reason: error.to_string(),
        })?;
        Ok(Descriptor::new(&full.media_type, full.digest, full.size))
    }

    fn failed(&self, status: &Status, watcher: &Watcher<'_>) -> BuildError {
        if is_lost(status) {
            return lost_or_refused(self.endpoint, status);
        }
        let failure = Failure::decode(status);
        let (name, said) = watcher.failed(&failure.vertex);
        BuildError::Failed(Box::new(failure.with_vertex(&name, &said)))
    }
}

/// Whether the status was made on our side because nothing more came, or by a BuildKit that stops: nobody else cancels.
fn is_lost(status: &Status) -> bool {
    status.source().is_some() || status.code() == Code::Cancelled
}

/// The error of a call that never fails where BuildKit is well.
pub fn lost_or_refused(endpoint: &Endpoint, status: &Status) -> BuildError {
    let endpoint = endpoint.name.clone();
    let mut reason = status.message().to_owned();
    let mut source = status.source();
    while let Some(error) = source {
        let text = error.to_string();
        if !reason.contains(&text) {
            reason = format!("{reason}: {text}");
        }
        source = error.source();
    }
    if is_lost(status) {
        BuildError::Lost { endpoint, reason }
    } else {
        BuildError::Unexpected { endpoint, reason }
    }
}
