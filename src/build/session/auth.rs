//! Credentials, given out when a registry refuses BuildKit.
//!
//! BuildKit fetches its tokens itself, with what [`AuthService::credentials`] answers. Only a token that the registry takes
//! as it is goes the other way, through FetchToken: BuildKit uses that when a client says that it has an authority key.

use super::{FirstFailure, refused};
use crate::oci::credentials::{CredentialSource, Credentials};
use bollard_buildkit_proto::moby::filesync::v1::auth_server::Auth;
use bollard_buildkit_proto::moby::filesync::v1::{
    CredentialsRequest, CredentialsResponse, FetchTokenRequest, FetchTokenResponse, GetTokenAuthorityRequest,
    GetTokenAuthorityResponse, VerifyTokenAuthorityRequest, VerifyTokenAuthorityResponse,
};
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// BuildKit's length of an authority key. The key proves a later session's right to a token of this one; we never sign
/// with it, so that BuildKit asks every session for itself, and any bytes do.
const AUTHORITY_KEY: [u8; 32] = [0; 32];

/// The credentials of one build.
pub struct AuthService {
    pub credentials: CredentialSource,
    pub failure: Arc<FirstFailure>,
}

impl AuthService {
    async fn lookup(&self, host: String) -> Result<Credentials, Status> {
        let source = self.credentials.clone();
        let lookup = tokio::task::spawn_blocking(move || source.lookup(&host)).await;
        lookup
            .map_err(|error| Status::internal(error.to_string()))?
            .map_err(|error| {
                let status = Status::failed_precondition(error.to_string());
                self.failure.set(error.into());
                status
            })
    }
}

#[tonic::async_trait]
impl Auth for AuthService {
    async fn credentials(&self, request: Request<CredentialsRequest>) -> Result<Response<CredentialsResponse>, Status> {
        let (username, secret) = match self.lookup(request.into_inner().host).await? {
            Credentials::Anonymous | Credentials::RegistryToken(_) => Default::default(),
            Credentials::Basic { username, password } => (username, password),
            // Without a user the secret is a refresh token.
            Credentials::IdentityToken(token) => (String::new(), token),
        };
        Ok(Response::new(CredentialsResponse { username, secret }))
    }

    async fn get_token_authority(
        &self,
        request: Request<GetTokenAuthorityRequest>,
    ) -> Result<Response<GetTokenAuthorityResponse>, Status> {
        match self.lookup(request.into_inner().host).await? {
            Credentials::RegistryToken(_) => Ok(Response::new(GetTokenAuthorityResponse {
                public_key: AUTHORITY_KEY.to_vec(),
            })),
            _ => refused("Auth.GetTokenAuthority"),
        }
    }

    async fn fetch_token(&self, request: Request<FetchTokenRequest>) -> Result<Response<FetchTokenResponse>, Status> {
        match self.lookup(request.into_inner().host).await? {
            Credentials::RegistryToken(token) => Ok(Response::new(FetchTokenResponse {
                token,
                ..FetchTokenResponse::default()
            })),
            _ => refused("Auth.FetchToken"),
        }
    }

    async fn verify_token_authority(
        &self,
        _: Request<VerifyTokenAuthorityRequest>,
    ) -> Result<Response<VerifyTokenAuthorityResponse>, Status> {
        refused("Auth.VerifyTokenAuthority")
    }
}
