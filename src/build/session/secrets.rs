//! Secrets, given out when a RUN step mounts them.

use super::FirstFailure;
use crate::build::SecretSource;
use bollard_buildkit_proto::moby::buildkit::secrets::v1::secrets_server::Secrets;
use bollard_buildkit_proto::moby::buildkit::secrets::v1::{GetSecretRequest, GetSecretResponse};
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// The secrets of one build.
pub struct SecretsService {
    pub secrets: Vec<SecretSource>,
    pub failure: Arc<FirstFailure>,
}

#[tonic::async_trait]
impl Secrets for SecretsService {
    async fn get_secret(&self, request: Request<GetSecretRequest>) -> Result<Response<GetSecretResponse>, Status> {
        let id = request.into_inner().id;
        // A secret that was not given may be optional: BuildKit decides.
        let secret = self
            .secrets
            .iter()
            .find(|secret| secret.id == id)
            .ok_or_else(|| Status::not_found(&id))?;
        let data = secret.read().await.map_err(|error| {
            let status = Status::failed_precondition(error.to_string());
            self.failure.set(error);
            status
        })?;
        Ok(Response::new(GetSecretResponse { data }))
    }
}
