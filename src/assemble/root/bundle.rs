//! Containers: a bundle each, below `containers/onboot`, `onshutdown` and `services`.

use super::ahead::Ahead;
use super::files::Files;
use super::image::{self, Resolv};
use super::stream::Stream;
use super::{AssembleError, Inputs, Order, ids, origin};
use crate::assemble::config::{Container, Mount};
use crate::assemble::container::spec::{RuntimeJson, Spec, json};
use crate::assemble::container::{self};
use std::collections::BTreeMap;

/// Writes the containers of all sections.
pub(super) fn write(
    inputs: &Inputs,
    order: &Order,
    ahead: &Ahead,
    files: &Files,
    stream: &mut Stream<'_>,
) -> Result<(), AssembleError> {
    let ids = ids(inputs);
    // Where an image has been stored.
    let mut stored: BTreeMap<&str, String> = BTreeMap::new();
    for (section, number, container) in inputs.yaml.containers() {
        let location = format!("{section}[{number}]");
        let own = origin(&container.image, &location);
        let (spec, runtime) = convert(inputs, container, &location, &ids)?;
        let path = path(section, number, container);
        let is_readonly = spec.root.readonly;
        let (root, is_elsewhere) = match stored.get(container.image.as_str()) {
            Some(root) => (root.clone(), true),
            None => (
                format!("{path}/{}", if is_readonly { "rootfs" } else { "lower" }),
                false,
            ),
        };
        if !is_elsewhere {
            let layers = order.others.get(&location).cloned().unwrap_or_default();
            let unpacked = image::unpack(ahead, layers, 0, &container.image, &location)?;
            image::write(
                unpacked,
                &format!("{root}/"),
                Resolv::File,
                &files.below(&root),
                &own,
                stream,
            )?;
            stored.insert(&container.image, root.clone());
        }
        stream.directory(&path, &own)?;
        stream.file(&format!("{path}/config.json"), &json(&spec), &own)?;
        if !is_readonly {
            stream.directory(&format!("{path}/tmp"), &own)?;
        }
        // Where it is mounted, unless the image is there itself.
        stream.directory(&format!("{path}/rootfs"), &own)?;
        let runtime = mounted(runtime, &path, &root, is_readonly);
        stream.file(&format!("{path}/runtime.json"), &json(&runtime), &own)?;
    }
    Ok(())
}

/// What the runtime is told of a container.
pub(super) fn convert(
    inputs: &Inputs,
    container: &Container,
    location: &str,
    ids: &BTreeMap<String, u32>,
) -> Result<(Spec, RuntimeJson), AssembleError> {
    let image = super::image(inputs, &container.image, location)?;
    container::convert(&container.config, &image.config, ids).map_err(|reason| AssembleError::Image {
        image: container.image.clone(),
        location: location.to_owned(),
        reason: format!("cannot be run so: {reason}"),
    })
}

/// Containers that run one after the other are numbered.
fn path(section: &str, number: usize, container: &Container) -> String {
    match section {
        "services" => format!("containers/services/{}", container.name),
        _ => format!("containers/{section}/{number:03}-{}", container.name),
    }
}

/// The container's own mounts after those that make its root: an overlay that may be written to, or a bind mount.
fn mounted(mut runtime: RuntimeJson, path: &str, root: &str, is_readonly: bool) -> RuntimeJson {
    let mount = |kind: &str, source: &str, destination: String, options: &[String]| Mount {
        destination,
        kind: kind.to_owned(),
        source: source.to_owned(),
        options: options.to_vec(),
        ..Mount::default()
    };
    let rootfs = format!("/{path}/rootfs");
    let mut mounts = match is_readonly {
        true => vec![mount("", &format!("/{root}"), rootfs, &["bind".to_owned()])],
        false => {
            let tmp = format!("/{path}/tmp");
            let overlay = [
                format!("lowerdir=/{root}"),
                format!("upperdir={tmp}/upper"),
                format!("workdir={tmp}/work"),
            ];
            vec![
                mount("tmpfs", "tmpfs", tmp.clone(), &[]),
                // Nothing else should see the temporary layers.
                mount("", "", tmp, &["remount".to_owned(), "private".to_owned()]),
                mount("overlay", "overlay", rootfs, &overlay),
            ]
        }
    };
    mounts.append(&mut runtime.mounts);
    runtime.mounts = mounts;
    runtime
}
