//! `tar` and `docker`: the root file system as it is, each file with records of where it comes from.

use super::output::{Finished, Output};
use super::{AssembleError, failed};
use crate::assemble::root::Origin;
use crate::layers::{Kind, Member, TarWriter};
use std::path::PathBuf;

/// PAX records that linuxkit writes too: the image that a file comes from, and where the YAML names it.
const SOURCE: &str = "LINUXKIT.source";
const LOCATION: &str = "LINUXKIT.location";

/// What makes a container image of the root.
const DOCKERFILE: &str = "
FROM scratch

COPY . ./

ENTRYPOINT [\"/bin/rc.init\"]
";

/// The time of the Dockerfile, linuxkit's.
const TIME: u64 = 1_492_533_000;

pub(super) struct Tar {
    tar: TarWriter<Output>,
    path: PathBuf,
    has_dockerfile: bool,
}

impl Tar {
    pub(super) fn begin(output: Output, has_dockerfile: bool) -> Self {
        Self {
            path: output.path.clone(),
            tar: TarWriter::new(output),
            has_dockerfile,
        }
    }

    pub(super) fn entry(&mut self, path: &[u8], member: &Member, origin: &Origin) -> Result<(), AssembleError> {
        let mut member = member.clone();
        for (key, value) in [(SOURCE, &origin.source), (LOCATION, &origin.location)] {
            member.records.insert(key.to_owned(), value.clone().into_bytes());
        }
        self.tar.begin(path, &member).map_err(failed(&self.path))
    }

    pub(super) fn data(&mut self, bytes: &[u8]) -> Result<(), AssembleError> {
        self.tar.data(bytes).map_err(failed(&self.path))
    }

    pub(super) fn end(&mut self) -> Result<(), AssembleError> {
        self.tar.end().map_err(failed(&self.path))
    }

    pub(super) fn finish(mut self) -> Result<Finished, AssembleError> {
        if self.has_dockerfile {
            let member = Member::new(Kind::File, 0o644, TIME, DOCKERFILE.len() as u64);
            let origin = Origin {
                source: "linuxkit.docker".to_owned(),
                location: "docker".to_owned(),
            };
            self.entry(b"Dockerfile", &member, &origin)?;
            self.data(DOCKERFILE.as_bytes())?;
            self.end()?;
        }
        self.tar.finish().map_err(failed(&self.path))?.finish()
    }
}
