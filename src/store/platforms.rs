//! Filing what BuildKit built under the names that linuxkit uses: `name:tag` and, a platform each, `name:tag-arch`.

use super::{Inner, Store, StoreError, names};
use crate::oci::merge;
use crate::oci::{Descriptor, Index, Reference, media_type};

impl Store {
    /// Adds the images in `exported` (an index with attestations, or a bare manifest; all of it already in the store) to
    /// the image `reference`: platforms that it has already are replaced, others stay. Each platform that was added gets
    /// the name `name:tag-arch` too. Gives the descriptor of the whole index, which `name:tag` points at now.
    ///
    /// The same images give the same bytes, in whatever order they are added.
    pub async fn merge_platforms(
        &self,
        reference: &Reference,
        exported: &Descriptor,
    ) -> Result<Descriptor, StoreError> {
        let (reference, exported) = (reference.clone(), exported.clone());
        self.blocking(move |inner| inner.merge_platforms(&reference, &exported))
            .await
    }
}

impl Inner {
    fn merge_platforms(&self, reference: &Reference, exported: &Descriptor) -> Result<Descriptor, StoreError> {
        let name = reference.store_name();
        let new = self.index_of(exported)?.ok_or_else(|| StoreError::Missing {
            digest: exported.digest.clone(),
            needed_by: name.clone(),
        })?;
        let platforms = merge::platforms(&new);
        if platforms.is_empty() {
            return Err(StoreError::Damaged {
                path: self.blob_path(&exported.digest),
                reason: "it has no image for any platform".to_owned(),
            });
        }
        self.update_index(|layout| {
            let existing = layout.manifests.iter().find(|entry| entry.ref_name() == Some(&name));
            let existing = existing.map(|entry| self.index_of(entry)).transpose()?.flatten();
            let merged = merge::merge_indexes(&existing.unwrap_or_else(|| Index::of(Vec::new())), &new);
            for platform in &platforms {
                let part = self.put_index(&merge::for_platforms(&merged, std::slice::from_ref(platform)))?;
                let name = reference.with_architecture(&platform.architecture).store_name();
                names::set_name(layout, &name, &part);
            }
            let whole = self.put_index(&merged)?;
            names::set_name(layout, &name, &whole);
            Ok(whole)
        })
    }

    fn put_index(&self, index: &Index) -> Result<Descriptor, StoreError> {
        self.put_bytes(media_type::INDEX, &index.written().1)
    }
}
