//! The root itself: the kernel's files, and the init images laid over each other.

use super::ahead::Ahead;
use super::files::Files;
use super::image::{self, Resolv, Unpacked};
use super::stream::{Origin, Stream};
use super::{AssembleError, Inputs, Order, TIME, kernel, origin};
use crate::layers::{FileSystem, Flattener, LinkLoop, Place};
use std::collections::BTreeMap;
use std::io::Read as _;

/// The list of packages that apk has installed.
const APK: &str = "lib/apk/db/installed";
/// What the merged list says of its source, as linuxkit has it.
const APK_SOURCE: &str = "LINUXKIT.apkinit";
/// A list of packages is text, and not large, in bytes.
const APK_BYTES_MAX: u64 = 64 << 20;

/// Writes `boot` and the root.
pub(super) fn write(
    inputs: &Inputs,
    order: &Order,
    ahead: &Ahead,
    files: &mut Files,
    sbom: Option<&str>,
    stream: &mut Stream<'_>,
) -> Result<(), AssembleError> {
    let mut root = Unpacked {
        flattener: Flattener::default(),
        spools: BTreeMap::new(),
    };
    // By the number of the first layer.
    let mut origins: BTreeMap<usize, Origin> = BTreeMap::new();
    let name = &inputs.yaml.kernel.image;
    if !name.is_empty() {
        let own = origin(name, "kernel");
        let unpacked = image::unpack(ahead, order.kernel.clone(), 0, name, "kernel")?;
        if let Some((spool, entries)) = kernel::write(inputs, unpacked, &own, stream)? {
            let applied = root.flattener.apply(&entries);
            applied.map_err(|error| image::looped(name, "kernel", &error))?;
            root.spools.insert(0, spool);
        }
        origins.insert(0, own);
    }
    let mut lists = Vec::new();
    for (number, (name, layers)) in inputs.yaml.init.iter().zip(&order.init).enumerate() {
        let location = format!("init[{number}]");
        let first = root.flattener.next_layer();
        let mut unpacked = image::unpack(ahead, layers.clone(), first, name, &location)?;
        lists.extend(list(&unpacked).map_err(|error| image::looped(name, &location, &error))??);
        origins.insert(first, origin(name, &location));
        root.spools.append(&mut unpacked.spools);
        let laid = root.flattener.lay_over(unpacked.flattener);
        laid.map_err(|error| image::looped(name, &location, &error))?;
    }
    let Some(last) = origins.values().next_back().cloned() else {
        return Ok(());
    };
    let looped = |error: LinkLoop| image::looped(&last.source, &last.location, &error);
    let made = match inputs.yaml.init.is_empty() {
        true => None,
        false => Some(image::adapt(&mut root.flattener, Resolv::Link).map_err(looped)?),
    };
    let apk = root.flattener.resolve(APK.as_bytes()).map_err(looped)?;
    if lists.len() > 1 {
        root.flattener.remove_file(&apk);
    }
    files.claim(&mut root.flattener).map_err(looped)?;
    if let Some(sbom) = sbom {
        root.flattener.remove_file(sbom.as_bytes());
    }
    for path in ["boot/kernel", "boot/cmdline", "boot/ucode.cpio"] {
        if !name.is_empty() {
            root.flattener.remove_file(path.as_bytes());
        }
    }
    let files = &*files;
    FileSystem::new(root.flattener, root.spools).each(|path, layer, mut member, content| {
        if path == b"boot" && !name.is_empty() {
            return Ok(()); // is there
        }
        let own = layer
            .and_then(|layer| origins.range(..=layer).next_back())
            .map(|(_, origin)| origin);
        if layer.is_none() {
            member.set_time(TIME);
        }
        files.change(path, &mut member);
        image::place("", path, member, content, own.unwrap_or(&last), stream)
    })?;
    if let Some(made) = made {
        made.write_but(&|path| files.has(path), "", &last, stream)?;
    }
    if lists.len() > 1 {
        let text: Vec<u8> = lists
            .iter()
            .flat_map(|list| list.iter().copied().chain(*b"\n\n"))
            .collect();
        let path = String::from_utf8_lossy(&apk).into_owned();
        stream.file(&path, &text, &origin(APK_SOURCE, "init"))?;
    }
    Ok(())
}

/// The list of packages of one image.
fn list(unpacked: &Unpacked) -> Result<std::io::Result<Option<Vec<u8>>>, LinkLoop> {
    let path = unpacked.flattener.resolve(APK.as_bytes())?;
    Ok(unpacked
        .flattener
        .place(&path)
        .map(|place| text(unpacked, place))
        .transpose())
}

fn text(unpacked: &Unpacked, (layer, number): Place) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    if let Some(spool) = unpacked.spools.get(&layer) {
        spool.open(number)?.1.take(APK_BYTES_MAX).read_to_end(&mut text)?;
    }
    Ok(text)
}
