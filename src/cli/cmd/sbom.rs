//! `lkpkg sbom show` and `lkpkg sbom merge`; comparing has a file of its own.

use super::cache_export::reason;
use super::sbom_diff;
use crate::attest::{self, AttestError, DocumentFormat, Package, Predicate, Sbom, Spool};
use crate::cli::args::GlobalArgs;
use crate::cli::args::sbom::{From, MergeArgs, MergeFormat, SbomVerb, ShowArgs, ShowFormat};
use crate::cli::failure::{ExitCode, Failure};
use crate::cli::format::{Align, Table};
use crate::cli::work::unless;
use crate::cli::{output, runtime, settings};
use crate::fsx::beside;
use crate::oci::Reference;
use crate::orchestrator::{self, Located, OrchestratorError, Platforms};
use crate::registry::Registry;
use crate::store::{Store, StoreError};
use std::path::Path;

/// Runs the verb.
pub fn run(verb: &SbomVerb, global: &GlobalArgs) -> Result<(), Failure> {
    runtime::block_on(async |cancel| match verb {
        SbomVerb::Show(args) => unless(&cancel, show(args, global)).await,
        SbomVerb::Merge(args) => unless(&cancel, merge(args, global)).await,
        SbomVerb::Diff(args) => unless(&cancel, sbom_diff::run(args, global)).await,
    })
}

async fn show(args: &ShowArgs, global: &GlobalArgs) -> Result<(), Failure> {
    let mut places = Places::open(args.from, global)?;
    let sboms = places.sboms(&args.image, args.platform.as_deref()).await?;
    let failed = |error| of_image(&args.image, error);
    let is = |kind: Predicate| matches!(sboms.as_slice(), [one] if one.attestation.kind() == kind);
    let document = match args.format {
        ShowFormat::Table => {
            let packages = attest::packages(&sboms).await.map_err(failed)?;
            return output::data(&table(&packages));
        }
        ShowFormat::Spdx if is(Predicate::Spdx) => attest::original(&sboms[0]).await,
        ShowFormat::Spdx => attest::merged(sboms, DocumentFormat::Spdx).await,
        ShowFormat::Cyclonedx if is(Predicate::CycloneDx) => attest::original(&sboms[0]).await,
        ShowFormat::Cyclonedx => attest::merged(sboms, DocumentFormat::CycloneDx).await,
    };
    print(document.map_err(failed)?)
}

fn table(packages: &[Package]) -> String {
    let columns = ["NAME", "VERSION", "TYPE", "LICENCE"].map(|name| (name, Align::Left));
    let mut table = Table::new(&columns);
    for package in packages {
        let cells = [&package.name, &package.version, &package.kind, &package.licence];
        table.row(cells.map(|cell| if cell.is_empty() { "-" } else { cell }));
    }
    table.render()
}

async fn merge(args: &MergeArgs, global: &GlobalArgs) -> Result<(), Failure> {
    let mut places = Places::open(args.from, global)?;
    let mut sboms = Vec::new();
    for image in &args.images {
        sboms.extend(places.sboms(image, args.platform.as_deref()).await?);
    }
    let format = match args.format {
        MergeFormat::Spdx => DocumentFormat::Spdx,
        MergeFormat::Cyclonedx => DocumentFormat::CycloneDx,
    };
    let names = args.images.join(", ");
    let document = attest::merged(sboms, format)
        .await
        .map_err(|error| of_image(&names, error))?;
    if args.outfile == Path::new("-") {
        return print(document);
    }
    write(document, &args.outfile).map_err(|error| {
        let message = format!("cannot write {}: {}", args.outfile.display(), reason(&error));
        Failure::new(ExitCode::Failed, message)
    })
}

/// The file appears when it is whole.
fn write(document: Spool, path: &Path) -> std::io::Result<()> {
    if path.exists() && !path.is_file() {
        // A pipe or a device has no place beside it to write to first.
        return document.copy_to(&mut std::fs::File::options().write(true).open(path)?);
    }
    let mut file = beside(path)?;
    document.copy_to(&mut file)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

fn print(document: Spool) -> Result<(), Failure> {
    output::stream(|stdout| document.copy_to(stdout))
}

/// What went wrong with an image's SBoM.
pub fn of_image(image: &str, source: AttestError) -> Failure {
    let (image, source) = (image.to_owned(), Box::new(source));
    OrchestratorError::Attest { image, source }.into()
}

/// Where images are looked for. Opened only when it is needed: a registry's client has TLS to set up.
pub struct Places<'a> {
    from: From,
    global: &'a GlobalArgs,
    store: Option<Store>,
    registry: Option<Registry>,
}

impl<'a> Places<'a> {
    /// The cache, unless it is not wanted.
    pub fn open(from: From, global: &'a GlobalArgs) -> Result<Self, Failure> {
        Ok(Self {
            from,
            global,
            store: match from {
                From::Registry => None,
                From::Auto | From::Cache => Some(settings::open_store(global)?),
            },
            registry: None,
        })
    }

    /// The image, where it is found first.
    pub async fn locate(&mut self, image: &str) -> Result<Located, Failure> {
        let reference: Reference = image.parse().map_err(|error| Failure::usage(format!("{error}")))?;
        if let Some(store) = &self.store
            && let Some(located) = orchestrator::in_cache(&reference, store)?
        {
            return Ok(located);
        }
        if self.from == From::Cache {
            let name = reference.pinned_name();
            return Err(Failure::from(StoreError::NotFound { name }).with_hint(format!(
                "lkpkg cache pull {image} brings it there; --from registry looks there instead"
            )));
        }
        let registry = match self.registry.take() {
            Some(registry) => registry,
            None => settings::registry(self.global, None)?,
        };
        let registry = self.registry.insert(registry);
        Ok(orchestrator::in_registry(&reference, registry).await?)
    }

    /// The SBoMs of an image.
    pub async fn sboms(&mut self, image: &str, platform: Option<&str>) -> Result<Vec<Sbom>, Failure> {
        let platforms = match platform {
            None => Platforms::Usual,
            Some("all") => Platforms::All,
            Some(text) => {
                let platform = text.parse();
                Platforms::Of(platform.map_err(|error| Failure::usage(format!("--platform: {error}")))?)
            }
        };
        let located = self.locate(image).await?;
        Ok(orchestrator::sboms(&located, &platforms).await?)
    }
}
