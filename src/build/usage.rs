//! What a BuildKit keeps on its disk for later builds: listed, and removed; and who works in it.

use super::BuildError;
use super::session::MESSAGE_MAX_BYTES;
use super::solve::lost_or_refused;
use super::status::time;
use crate::builder::Endpoint;
use bollard_buildkit_proto::moby::buildkit::v1 as proto;
use proto::control_client::ControlClient;
use std::collections::BTreeMap;
use std::time::SystemTime;
use tonic::transport::Channel;

/// Something that BuildKit keeps: the result of a step, a context, a cache mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageRecord {
    /// Its identity.
    pub id: String,
    /// `regular`, `source.local`, `exec.cachemount`, …
    pub kind: String,
    /// What it came from, in BuildKit's words.
    pub description: String,
    /// Bytes that it takes.
    pub size: u64,
    /// Whether a build needs it just now.
    pub is_in_use: bool,
    /// Whether its bytes belong to something else as well, so that removing it frees nothing.
    pub is_shared: bool,
    /// When it was needed last.
    pub last_used: Option<SystemTime>,
}

/// What [`prune`] removes, and what it leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PruneOptions {
    /// Also what BuildKit keeps for itself, and what images share.
    pub all: bool,
    /// Filters as buildctl has them (`type==exec.cachemount`); none for everything.
    pub filters: Vec<String>,
    /// Bytes that stay in any case; 0 for none.
    pub keep: u64,
    /// Bytes down to which is removed, and not further; 0 for everything.
    pub max: u64,
}

/// What the BuildKit keeps, the largest first.
pub async fn disk_usage(endpoint: &Endpoint) -> Result<Vec<UsageRecord>, BuildError> {
    let response = client(endpoint).disk_usage(proto::DiskUsageRequest::default()).await;
    let response = response.map_err(|status| lost_or_refused(endpoint, &status))?;
    Ok(sorted(response.into_inner().record))
}

/// Removes what is not in use, and answers what was removed, the largest first.
pub async fn prune(endpoint: &Endpoint, options: &PruneOptions) -> Result<Vec<UsageRecord>, BuildError> {
    let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let request = proto::PruneRequest {
        filter: options.filters.clone(),
        all: options.all,
        reserved_space: signed(options.keep),
        max_used_space: signed(options.max),
        ..proto::PruneRequest::default()
    };
    let failed = |status: tonic::Status| lost_or_refused(endpoint, &status);
    let mut removed = client(endpoint).prune(request).await.map_err(failed)?.into_inner();
    let mut records = Vec::new();
    while let Some(record) = removed.message().await.map_err(failed)? {
        records.push(record);
    }
    Ok(sorted(records))
}

/// One of those that do a BuildKit's work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worker {
    /// Its identity.
    pub id: String,
    /// What it says of itself: executor, snapshotter, host name …
    pub labels: BTreeMap<String, String>,
}

/// Those that do the BuildKit's work.
pub async fn workers(endpoint: &Endpoint) -> Result<Vec<Worker>, BuildError> {
    let request = proto::ListWorkersRequest { filter: Vec::new() };
    let response = client(endpoint).list_workers(request).await;
    let response = response.map_err(|status| lost_or_refused(endpoint, &status))?;
    let worker = |worker: proto::types::WorkerRecord| Worker {
        id: worker.id,
        labels: worker.labels.into_iter().collect(),
    };
    Ok(response.into_inner().record.into_iter().map(worker).collect())
}

fn client(endpoint: &Endpoint) -> ControlClient<Channel> {
    ControlClient::new(endpoint.channel.clone()).max_decoding_message_size(MESSAGE_MAX_BYTES)
}

fn sorted(records: Vec<proto::UsageRecord>) -> Vec<UsageRecord> {
    let mut records: Vec<UsageRecord> = records.into_iter().map(record).collect();
    records.sort_by(|one, other| other.size.cmp(&one.size).then_with(|| one.id.cmp(&other.id)));
    records
}

fn record(record: proto::UsageRecord) -> UsageRecord {
    UsageRecord {
        id: record.id,
        kind: record.record_type,
        description: record.description,
        size: record.size.try_into().unwrap_or_default(),
        is_in_use: record.in_use,
        is_shared: record.shared,
        last_used: record.last_used_at.and_then(time),
    }
}
