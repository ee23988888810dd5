//! The files of an image as they come to be somewhere in the root: what Docker puts into every container is left out, what
//! every container needs is made.

use super::ahead::Ahead;
use super::stream::{Origin, Stream};
use super::{AssembleError, TIME};
use crate::layers::{Content, FileSystem, Flattener, Kind, LayersError, LinkLoop, Member, Spool};
use std::collections::BTreeMap;
use std::ops::Range;

/// What Docker leaves in images, and nobody means.
const EXCLUDED: [&str; 6] = [
    ".dockerenv",
    "Dockerfile",
    "dev/console",
    "dev/pts",
    "dev/shm",
    "etc/hostname",
];
/// Directories that a running system mounts upon.
const USUAL: [&str; 6] = ["dev", "dev/pts", "dev/shm", "etc", "proc", "sys"];
const HOSTS: &str = "etc/hosts";
const RESOLV: &str = "etc/resolv.conf";
const MTAB: &str = "etc/mtab";

const HOSTS_TEXT: &str = "127.0.0.1       localhost
::1     localhost ip6-localhost ip6-loopback
fe00::0 ip6-localnet
ff00::0 ip6-mcastprefix
ff02::1 ip6-allnodes
ff02::2 ip6-allrouters
";
const RESOLV_TEXT: &str = "\n# no resolv.conf configured\n";
/// Where the root's own name servers are written when it runs; the root itself is read-only.
const RESOLV_LINK: &[u8] = b"/run/resolvconf/resolv.conf";

/// Which `etc/resolv.conf` an image gets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Resolv {
    /// A file that says there is none.
    File,
    /// A link to where it is written at run time.
    Link,
}

/// Layers that were unpacked, not flattened into files yet.
pub(super) struct Unpacked {
    pub(super) flattener: Flattener,
    pub(super) spools: BTreeMap<usize, Spool>,
}

/// The layers of one image, from number `first` on.
pub(super) fn unpack(
    ahead: &Ahead,
    layers: Range<usize>,
    first: usize,
    image: &str,
    location: &str,
) -> Result<Unpacked, AssembleError> {
    let mut unpacked = Unpacked {
        flattener: Flattener::starting_at(first),
        spools: BTreeMap::new(),
    };
    for layer in ahead.take(layers) {
        let failed = |source: LayersError| match ahead.is_cancelled() {
            true => AssembleError::Cancelled,
            false => AssembleError::Unpack {
                image: image.to_owned(),
                location: location.to_owned(),
                source: Box::new(source),
            },
        };
        let (spool, entries) = layer.map_err(failed)?;
        let number = unpacked.flattener.next_layer();
        let applied = unpacked.flattener.apply(&entries);
        applied.map_err(|error| looped(image, location, &error))?;
        unpacked.spools.insert(number, spool);
    }
    check_links(&unpacked.flattener, image, location)?;
    Ok(unpacked)
}

pub(super) fn looped(image: &str, location: &str, error: &LinkLoop) -> AssembleError {
    AssembleError::Image {
        image: image.to_owned(),
        location: location.to_owned(),
        reason: format!("has {error}"),
    }
}

/// Files that are made, in the place of an image's own.
pub(super) struct Made(Vec<(String, Member, &'static str)>);

/// Leaves out what is not meant, and makes what is needed.
pub(super) fn adapt(flattener: &mut Flattener, resolv: Resolv) -> Result<Made, LinkLoop> {
    for path in EXCLUDED {
        let path = flattener.resolve(path.as_bytes())?;
        flattener.remove_file(&path);
    }
    for path in USUAL {
        let path = flattener.resolve(path.as_bytes())?;
        flattener.imply(&path);
    }
    let mut made = Vec::new();
    let mut make = |flattener: &mut Flattener, path: &str, kind: Kind, mode, text: &'static str| {
        let resolved = flattener.resolve(path.as_bytes())?;
        flattener.remove_file(&resolved);
        // A directory of this name is somebody's own affair; so is a name that no text can hold.
        if let (false, Ok(path)) = (flattener.has(&resolved), String::from_utf8(resolved)) {
            made.push((path, Member::new(kind, mode, TIME, text.len() as u64), text));
        }
        Ok::<_, LinkLoop>(())
    };
    make(flattener, HOSTS, Kind::File, 0o644, HOSTS_TEXT)?;
    match resolv {
        Resolv::File => make(flattener, RESOLV, Kind::File, 0o644, RESOLV_TEXT)?,
        Resolv::Link => make(flattener, RESOLV, Kind::Symlink(RESOLV_LINK.to_vec()), 0o644, "")?,
    }
    let mtab = flattener.resolve(MTAB.as_bytes())?;
    if !flattener.has(&mtab) {
        make(flattener, MTAB, Kind::Symlink(b"/proc/mounts".to_vec()), 0o755, "")?;
    }
    Ok(Made(made))
}

impl Made {
    pub(super) fn write(&self, prefix: &str, origin: &Origin, stream: &mut Stream<'_>) -> Result<(), AssembleError> {
        self.write_but(&|_| false, prefix, origin, stream)
    }

    /// Writes those that nobody else writes.
    pub(super) fn write_but(
        &self,
        is_other: &dyn Fn(&str) -> bool,
        prefix: &str,
        origin: &Origin,
        stream: &mut Stream<'_>,
    ) -> Result<(), AssembleError> {
        for (path, member, text) in self.0.iter().filter(|(path, ..)| !is_other(path)) {
            stream.entry(
                format!("{prefix}{path}").as_bytes(),
                member,
                origin,
                &mut text.as_bytes(),
            )?;
        }
        Ok(())
    }
}

/// An entry of an image as it stands in the root.
pub(super) fn place(
    prefix: &str,
    path: &[u8],
    mut member: Member,
    mut content: Content<'_>,
    origin: &Origin,
    stream: &mut Stream<'_>,
) -> Result<(), AssembleError> {
    if let Kind::HardLink(target) = &mut member.kind {
        target.splice(..0, prefix.bytes());
    }
    if USUAL.iter().any(|usual| usual.as_bytes() == path) || path == MTAB.as_bytes() {
        member.set_time(TIME);
    }
    let path = [prefix.as_bytes(), path].concat();
    stream.entry(&path, &member, origin, &mut content)
}

/// The files of one image below `prefix`, which ends in a slash.
pub(super) fn write(
    mut unpacked: Unpacked,
    prefix: &str,
    resolv: Resolv,
    hidden: &[Vec<u8>],
    origin: &Origin,
    stream: &mut Stream<'_>,
) -> Result<(), AssembleError> {
    let image = &origin.source;
    let made = adapt(&mut unpacked.flattener, resolv);
    let made = made.map_err(|error| looped(image, &origin.location, &error))?;
    for path in hidden {
        unpacked.flattener.remove_file(path);
    }
    stream.directory(prefix.trim_end_matches('/'), origin)?;
    let files = FileSystem::new(unpacked.flattener, unpacked.spools);
    files.each(|path, layer, mut member, content| {
        if layer.is_none() {
            member.set_time(TIME);
        }
        place(prefix, path, member, content, origin, stream)
    })?;
    made.write(prefix, origin, stream)
}

/// A hard link whose file is not in the image is no file.
fn check_links(flattener: &Flattener, image: &str, location: &str) -> Result<(), AssembleError> {
    let Some((link, target)) = flattener.dangling() else {
        return Ok(());
    };
    let (link, target) = (String::from_utf8_lossy(link), String::from_utf8_lossy(target));
    Err(AssembleError::Image {
        image: image.to_owned(),
        location: location.to_owned(),
        reason: format!("has a hard link {link} to {target}, which is not there"),
    })
}
