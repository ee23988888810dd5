//! The volume with the state of a builder's container: created by its name, explicitly, and removed with the state of
//! another image in it.

use super::super::BuilderError;
use super::super::decide::is_same_image;
use super::container::{Container, OUR_LABEL, OUR_LABEL_VERSION};
use super::fault::{is_gone, is_taken};
use bollard::models::VolumeCreateRequest;
use bollard::query_parameters::RemoveVolumeOptions;
use std::collections::HashMap;

/// On a volume: the image whose state it holds.
const IMAGE_LABEL: &str = "lkpkg.builder.image";

impl Container {
    /// Name of the volume.
    pub fn volume(&self) -> String {
        format!("{}-state", self.name)
    }

    /// Creates it, for its labels. One that is there is taken as it is, unless it holds the state of another image: whoever
    /// replaced that one's container had no time yet to remove it.
    pub async fn create_volume(&self, image: &str) -> Result<(), BuilderError> {
        let labels = [(OUR_LABEL, OUR_LABEL_VERSION), (IMAGE_LABEL, image)];
        let labels = HashMap::from(labels.map(|(label, value)| (label.to_owned(), value.to_owned())));
        let volume = VolumeCreateRequest {
            name: Some(self.volume()),
            labels: Some(labels),
            ..Default::default()
        };
        let failed = || self.failed("creating the state volume of");
        let there = self.docker.create_volume(volume.clone()).await.map_err(failed())?;
        let state_of = there.labels.get(IMAGE_LABEL);
        if state_of.is_some_and(|other| !is_same_image(other, image)) {
            self.remove_volume().await?;
            self.docker.create_volume(volume).await.map_err(failed())?;
        }
        Ok(())
    }

    /// Whether it is there and lkpkg made it.
    pub async fn has_own_volume(&self) -> Result<bool, BuilderError> {
        match self.docker.inspect_volume(&self.volume()).await {
            Err(error) if is_gone(&error) => Ok(false),
            found => {
                let found = found.map_err(self.failed("inspecting the state volume of"))?;
                Ok(found.labels.contains_key(OUR_LABEL))
            }
        }
    }

    /// Removes it. One that is in use is in the hands of someone who was faster.
    pub async fn remove_volume(&self) -> Result<(), BuilderError> {
        let removed = self
            .docker
            .remove_volume(&self.volume(), None::<RemoveVolumeOptions>)
            .await;
        match removed {
            Err(error) if is_gone(&error) || is_taken(&error) => Ok(()),
            result => result.map_err(self.failed("removing the state volume of")),
        }
    }
}
