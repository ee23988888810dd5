//! Names in the `index.json` of a layout. Pure: values in, values out, always in the same order.

use crate::oci::{Descriptor, Index, annotation};

/// Lets `name` point at `descriptor` in the `index.json` of a layout. Other entries, known or foreign, stay as they are.
/// Entries are sorted by name, so that builds that end in another order leave the same file.
pub(super) fn set_name(index: &mut Index, name: &str, descriptor: &Descriptor) {
    let mut entry = descriptor.clone();
    entry
        .annotations
        .insert(annotation::REF_NAME.to_owned(), name.to_owned());
    index.manifests.retain(|known| known.ref_name() != Some(name));
    index.manifests.push(entry);
    sort(index);
}

/// Lists what has no name because it is about something else. Only what finds it again is kept: its annotations are
/// whoever made it's, and one of them could be a name.
pub(super) fn add_referrer(index: &mut Index, referrer: &Descriptor) {
    let mut entry = Descriptor::new(&referrer.media_type, referrer.digest.clone(), referrer.size);
    entry.artifact_type.clone_from(&referrer.artifact_type);
    let is_same = |known: &Descriptor| known.ref_name().is_none() && known.digest == entry.digest;
    index.manifests.retain(|known| !is_same(known));
    index.manifests.push(entry);
    sort(index);
}

/// By name; then what has none, by digest.
fn sort(index: &mut Index) {
    let key = |entry: &Descriptor| {
        let name = entry.ref_name();
        (name.is_none(), name.map(str::to_owned), entry.digest.clone())
    };
    index.manifests.sort_by_cached_key(key);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::media_type;

    fn entry(text: &str) -> Descriptor {
        Descriptor::of(media_type::MANIFEST, text.as_bytes())
    }

    #[test]
    fn a_name_is_there_once_and_foreign_entries_stay() {
        let mut layout = Index::of(Vec::new());
        let mut foreign = entry("7");
        foreign.annotations.insert("their".into(), "own".into());
        layout.manifests.push(foreign.clone());
        set_name(&mut layout, "docker.io/b:1", &entry("1"));
        set_name(&mut layout, "docker.io/a:1", &entry("2"));
        set_name(&mut layout, "docker.io/b:1", &entry("3"));
        let names: Vec<_> = layout.manifests.iter().map(Descriptor::ref_name).collect();
        assert_eq!(names, [Some("docker.io/a:1"), Some("docker.io/b:1"), None]);
        assert_eq!(layout.manifests[1].digest, entry("3").digest);
        assert_eq!(layout.manifests[2], foreign);
    }
}
