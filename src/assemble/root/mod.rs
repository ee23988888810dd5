//! The root file system as a stream: which entry comes from where, in which order, and what is added to images.
//!
//! First comes `boot` with the kernel, then the root itself (the kernel's tar file and the init images, laid over each
//! other), then volumes, containers and files. No path comes twice. Layers are unpacked ahead by several threads; what
//! is not wanted yet waits on disk.

mod ahead;
mod bundle;
mod files;
mod image;
mod kernel;
mod stream;
mod system;
mod volume;

pub use volume::Layout;

use super::config::ImageYaml;
use super::container::{self, ImageConfig};
use super::format::Format;
use super::{AssembleError, config};
use crate::attest::Spool;
use crate::event::CancellationToken;
use crate::oci::Descriptor;
use ahead::Ahead;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
pub(super) use stream::Origin;
use stream::Stream;

/// The time of everything that no image has: that of linuxkit's first commit, 2017-04-18 16:30 UTC, as linuxkit has it.
const TIME: u64 = 1_492_533_000;

/// Opens a blob; what it gives fails at its end when the bytes are not those of the digest.
pub type OpenBlob = Arc<dyn Fn(&Descriptor) -> io::Result<Box<dyn Read + Send>> + Send + Sync>;

/// An image for one platform.
#[derive(Clone, Debug)]
pub struct Image {
    /// Its layers, lowest first.
    pub layers: Vec<Descriptor>,
    /// How it runs.
    pub config: ImageConfig,
}

/// Everything that a root file system is made of.
pub struct Inputs {
    /// The description, with the full names of images.
    pub yaml: ImageYaml,
    /// The images by their names, but for those of volumes in the format `oci`.
    pub images: BTreeMap<String, Image>,
    /// Of volumes in the format `oci`: what is in them, by the volume's name.
    pub layouts: BTreeMap<String, Layout>,
    /// Where blobs are.
    pub open: OpenBlob,
    /// A directory for what is unpacked, which needs the room of the unpacked images. Nothing is left there.
    pub scratch: PathBuf,
    /// What `~/` stands for in `files`.
    pub home: Option<PathBuf>,
    /// The name of the merged SBoM in the root, and the document; None where it is not wanted.
    pub sbom: Option<(String, Spool)>,
    /// Whether a compressed kernel is unpacked.
    pub decompress_kernel: bool,
}

/// Which layers of all belong to which image, in the order in which they are wanted.
#[derive(Debug, Default)]
struct Order {
    layers: Vec<Descriptor>,
    kernel: Range<usize>,
    init: Vec<Range<usize>>,
    /// By location.
    others: BTreeMap<String, Range<usize>>,
}

/// Makes the root file system and gives it to every format.
pub(super) fn write(
    mut inputs: Inputs,
    formats: &mut [Format],
    cancel: &CancellationToken,
) -> Result<(), AssembleError> {
    // What is wrong is said before work starts.
    let mut files = files::read(&inputs)?;
    let users = ids(&inputs);
    for (section, number, container) in inputs.yaml.containers() {
        bundle::convert(&inputs, container, &format!("{section}[{number}]"), &users)?;
    }
    let sbom = inputs.sbom.take();
    let order = order(&inputs)?;
    let ahead = Ahead::new(
        order.layers.clone(),
        inputs.open.clone(),
        inputs.scratch.clone(),
        cancel.clone(),
    );
    std::thread::scope(|scope| {
        let _stops = ahead.run(scope);
        let mut stream = Stream::new(formats, cancel);
        system::write(
            &inputs,
            &order,
            &ahead,
            &mut files,
            sbom.as_ref().map(|(name, _)| name.as_str()),
            &mut stream,
        )?;
        for (number, volume) in inputs.yaml.volumes.iter().enumerate() {
            volume::write(&inputs, number, volume, &order, &ahead, &mut stream)?;
        }
        bundle::write(&inputs, &order, &ahead, &files, &mut stream)?;
        files::write(&files, &mut stream)?;
        if let Some((name, document)) = sbom {
            files::write_sbom(&name, document, &mut stream)?;
        }
        Ok(())
    })
}

/// What an image is, by its name.
fn image<'a>(inputs: &'a Inputs, name: &str, location: &str) -> Result<&'a Image, AssembleError> {
    inputs.images.get(name).ok_or_else(|| AssembleError::Image {
        image: name.to_owned(),
        location: location.to_owned(),
        reason: "is not there".to_owned(),
    })
}

fn order(inputs: &Inputs) -> Result<Order, AssembleError> {
    let mut order = Order::default();
    let mut add = |name: &str, location: &str| {
        let found = image(inputs, name, location)?;
        let begin = order.layers.len();
        order.layers.extend(found.layers.iter().cloned());
        Ok::<_, AssembleError>(begin..order.layers.len())
    };
    let yaml = &inputs.yaml;
    let kernel = match yaml.kernel.image.as_str() {
        "" => 0..0,
        name => add(name, "kernel")?,
    };
    let mut init = Vec::new();
    for (number, name) in yaml.init.iter().enumerate() {
        init.push(add(name, &format!("init[{number}]"))?);
    }
    let mut others = BTreeMap::new();
    for (number, volume) in yaml.volumes.iter().enumerate() {
        if !volume.image.is_empty() && volume.format != "oci" {
            let location = volume::location(number);
            others.insert(location.clone(), add(&volume.image, &location)?);
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    for (section, number, container) in yaml.containers() {
        // The same image is stored once.
        if seen.insert(container.image.as_str()) {
            let location = format!("{section}[{number}]");
            others.insert(location.clone(), add(&container.image, &location)?);
        }
    }
    Ok(Order {
        kernel,
        init,
        others,
        ..order
    })
}

/// The users that `files` and containers may name.
fn ids(inputs: &Inputs) -> BTreeMap<String, u32> {
    container::ids(&inputs.yaml)
}

/// This description, for `metadata`.
fn description(yaml: &ImageYaml, kind: &str) -> Vec<u8> {
    match kind {
        "json" => container::spec::json(yaml),
        _ => config::yaml(yaml).into_bytes(),
    }
}

/// What an image is called in the records of its files.
fn origin(source: &str, location: &str) -> Origin {
    Origin {
        source: source.to_owned(),
        location: location.to_owned(),
    }
}

#[cfg(test)]
mod tests;
