//! STAND-IN until branch filesync is merged.
use bollard_buildkit_proto::fsutil::types::{Packet, Stat, packet::PacketType};
use bollard_buildkit_proto::moby::filesync::v1::file_sync_server::FileSync;
use futures_util::{Stream, stream};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::Arc;
use tonic::{Request, Response, Status, Streaming};
pub struct Tree(PathBuf);
impl Tree { pub fn new(root: PathBuf, _: Vec<(PathBuf, PathBuf)>) -> Result<Self, std::io::Error> { Ok(Self(root.canonicalize()?)) } }
pub struct FileSyncService(BTreeMap<String, Arc<Tree>>);
impl FileSyncService { pub fn new(trees: BTreeMap<String, Arc<Tree>>) -> Self { Self(trees) } }
fn walk(root: &Path, rel: &Path, out: &mut Vec<Stat>) -> std::io::Result<()> {
    let mut entries: Vec<_> = std::fs::read_dir(root.join(rel))?.collect::<Result<_, _>>()?;
    entries.sort_by_key(|e| e.file_name());
    for e in entries {
        let r = rel.join(e.file_name());
        let m = std::fs::symlink_metadata(root.join(&r))?;
        let mut mode = m.permissions().mode() & 0o777;
        if m.is_dir() { mode |= 1 << 31 }
        out.push(Stat { path: r.display().to_string(), mode, size: if m.is_file() { m.len() as i64 } else { 0 }, mod_time: m.mtime() * 1_000_000_000 + m.mtime_nsec(), ..Default::default() });
        if m.is_dir() { walk(root, &r, out)?; }
    }
    Ok(())
}
#[tonic::async_trait]
impl FileSync for FileSyncService {
    type DiffCopyStream = Pin<Box<dyn Stream<Item = Result<Packet, Status>> + Send>>;
    type TarStreamStream = Pin<Box<dyn Stream<Item = Result<Packet, Status>> + Send>>;
    async fn diff_copy(&self, req: Request<Streaming<Packet>>) -> Result<Response<Self::DiffCopyStream>, Status> {
        let md = req.metadata().clone();
        let name = md.get("dir-name").and_then(|v| v.to_str().ok()).unwrap_or("").to_string();
        let root = self.0.get(&name).ok_or_else(|| Status::not_found("dir"))?.0.clone();
        let follow: Vec<String> = md.get_all("followpaths").iter().filter_map(|v| v.to_str().ok().map(String::from)).collect();
        let mut stats = vec![];
        walk(&root, Path::new(""), &mut stats)?;
        if !follow.is_empty() { stats.retain(|s| follow.contains(&s.path)); }
        let mut inp = req.into_inner();
        let (tx, rx) = tokio::sync::mpsc::channel(4);
        let work = async move {
            let mut files = HashMap::new();
            for (i, s) in stats.into_iter().enumerate() {
                files.insert(i as u32, s.path.clone());
                let _ = tx.send(Ok(Packet { r#type: PacketType::PacketStat as i32, stat: Some(s), ..Default::default() })).await;
            }
            let _ = tx.send(Ok(Packet { r#type: PacketType::PacketStat as i32, ..Default::default() })).await;
            while let Ok(Some(p)) = inp.message().await {
                match PacketType::try_from(p.r#type) {
                    Ok(PacketType::PacketReq) => {
                        let data = std::fs::read(root.join(&files[&p.id])).unwrap_or_default();
                        for c in data.chunks(32 << 10) { let _ = tx.send(Ok(Packet { r#type: PacketType::PacketData as i32, id: p.id, data: c.to_vec(), ..Default::default() })).await; }
                        let _ = tx.send(Ok(Packet { r#type: PacketType::PacketData as i32, id: p.id, ..Default::default() })).await;
                    }
                    Ok(PacketType::PacketFin) => { let _ = tx.send(Ok(Packet { r#type: PacketType::PacketFin as i32, ..Default::default() })).await; break }
                    _ => {}
                }
            }
        };
        let rx = tokio_stream::wrappers::ReceiverStream::new(rx);
        let work = futures_util::StreamExt::filter_map(stream::once(work), |()| std::future::ready(None));
        Ok(Response::new(Box::pin(stream::select(rx, work))))
    }
    async fn tar_stream(&self, _: Request<Streaming<Packet>>) -> Result<Response<Self::TarStreamStream>, Status> { Err(Status::unimplemented("")) }
}
