//! Directories → packages with everything that a plan and a build have to know about them.

use super::OrchestratorError;
use crate::identity::{self, HashOptions, Identity, IdentityError, LastChange};
use crate::oci::Reference;
use crate::package::dockerfile::{self, ImageReference};
use crate::package::{self, Overrides, Package};
use crate::plan::Plan;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Which packages, and how their build.yml and tags are to be read.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Package directories.
    pub directories: Vec<PathBuf>,
    /// What flags say over build.yml.
    pub overrides: Overrides,
    /// How hashes are taken.
    pub hash: HashOptions,
    /// Files of build args, later ones win.
    pub build_arg_files: Vec<PathBuf>,
    /// Build args that every package gets unless it sets them: the proxies.
    pub ambient_build_args: BTreeMap<String, String>,
}

/// The build arg by which BuildKit, and many programs that write files, are told which time it is.
pub const SOURCE_DATE_EPOCH: &str = "SOURCE_DATE_EPOCH";

/// Which time a build has, so that it does not matter when it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SourceDate {
    /// The commit time of the package's last change.
    #[default]
    LastChange,
    /// This one, in seconds since 1970 (UTC).
    At(u64),
    /// The time at which it runs.
    Now,
}

/// A package that can be planned and built.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// What its build.yml says.
    pub package: Package,
    /// Its tag.
    pub identity: Identity,
    /// All build args, resolved; without `GOPKGVERSION` and `SOURCE_DATE_EPOCH` before [`complete`].
    pub build_args: BTreeMap<String, String>,
    /// The commit that changed it last; None outside git, and before [`complete`].
    pub last_change: Option<LastChange>,
    /// Images that its Dockerfile names, in the order of the lines.
    pub images: Vec<ImageReference>,
    /// Releases that git tags at HEAD ask for; none before [`find_releases`].
    pub releases: Vec<String>,
}

impl Prepared {
    /// Full names of the images that the Dockerfile reads from.
    pub fn image_names(&self) -> BTreeSet<String> {
        let names = self
            .images
            .iter()
            .filter_map(|image| image.name.parse::<Reference>().ok());
        names.map(|reference| reference.store_name()).collect()
    }
}

/// Reads the packages and finds their tags, in the order of the directories.
pub fn load(request: &Request) -> Result<Vec<(Package, Identity)>, OrchestratorError> {
    let read = |directory: &PathBuf| package::load(directory, &request.overrides);
    let packages = request.directories.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let identities = identity::identify(&packages, &request.hash)?;
    Ok(packages.into_iter().zip(identities).collect())
}

/// [`load`], each directory once, and then the build args and the images that the Dockerfiles name. What only a build
/// needs comes later: [`complete`].
pub fn prepare(request: &Request) -> Result<Vec<Prepared>, OrchestratorError> {
    let mut seen = BTreeSet::new();
    let mut loaded = load(request)?;
    loaded.retain(|(package, _)| seen.insert(package.build_yml.clone()));
    let given = given_build_args(&request.build_arg_files)?;
    let tags = TagsOfOthers::find(&loaded, &given)?;
    let finish = |(package, identity): (Package, Identity)| {
        let build_args = build_args(&package, &identity, &given, &request.ambient_build_args, &tags)?;
        let images = images(&package, &build_args)?;
        Ok(Prepared {
            package,
            identity,
            build_args,
            last_change: None,
            images,
            releases: Vec::new(),
        })
    };
    loaded.into_iter().map(finish).collect()
}

/// Gives the packages that the plan builds (all, where there is none) what only a build has to know: their `GOPKGVERSION`, last change and
/// `SOURCE_DATE_EPOCH`. To find these can mean to walk the whole history, which a call that has nothing to build does
/// without. Returns warnings.
pub fn complete(
    prepared: &mut [Prepared],
    plan: Option<&Plan>,
    hash: &HashOptions,
    date: SourceDate,
) -> Result<Vec<String>, OrchestratorError> {
    let mut versions = ByRepository::new(identity::go_package_version);
    let is_built = |at: usize| match plan {
        Some(plan) => plan
            .packages
            .get(at)
            .is_some_and(|planned| !planned.to_build().is_empty()),
        None => true,
    };
    let built = prepared.iter_mut().enumerate().filter(|(at, _)| is_built(*at));
    let mut built: Vec<&mut Prepared> = built.map(|(_, one)| one).collect();
    let packages: Vec<&Package> = built.iter().map(|one| &one.package).collect();
    let changes = identity::last_changes(&packages, hash)?;
    let mut warnings = Vec::new();
    for (one, change) in built.iter_mut().zip(changes) {
        // They are presets: every other source of build args goes first.
        if let Entry::Vacant(free) = one.build_args.entry(identity::GO_PACKAGE_VERSION.to_owned())
            && let Some(version) = versions.get(&one.package.directory)?
        {
            free.insert(version);
            one.images = images(&one.package, &one.build_args)?;
        }
        let time_s = match date {
            SourceDate::At(time_s) => Some(time_s),
            // What was committed before 1970 has a clock that is wrong.
            SourceDate::LastChange => change
                .as_ref()
                .map(|change| u64::try_from(change.time_s).unwrap_or_default()),
            SourceDate::Now => None,
        };
        if let (Entry::Vacant(free), Some(time_s)) = (one.build_args.entry(SOURCE_DATE_EPOCH.to_owned()), time_s) {
            free.insert(time_s.to_string());
        }
        if let Some(change) = change.as_ref().filter(|change| change.is_boundary) {
            warnings.push(shallow(&one.package, change, date));
        }
        one.last_change = change;
    }
    Ok(warnings)
}

fn shallow(package: &Package, change: &LastChange, date: SourceDate) -> String {
    let (directory, commit) = (package.directory.display(), &change.commit);
    let what = match date {
        SourceDate::LastChange => "its label org.opencontainers.image.revision and its SOURCE_DATE_EPOCH are",
        SourceDate::At(_) | SourceDate::Now => "its label org.opencontainers.image.revision is",
    };
    format!(
        "the last change of {directory} is not known: the clone is shallow and ends at {commit}, so {what} that \
         commit's, and others in a whole clone (git fetch --unshallow)"
    )
}

/// Finds the releases that git tags ask for; only who pushes needs them. What is not HEAD's is not released by its tags.
pub fn find_releases(prepared: &mut [Prepared]) -> Result<(), OrchestratorError> {
    let mut releases = ByRepository::new(identity::releases);
    for one in prepared.iter_mut().filter(|one| one.identity.is_hash_commit_head) {
        one.releases = releases.get(&one.package.directory)?;
    }
    Ok(())
}

/// Images that the package's Dockerfile names with these build args.
fn images(package: &Package, build_args: &BTreeMap<String, String>) -> Result<Vec<ImageReference>, OrchestratorError> {
    let mut images = dockerfile::load(package, build_args)?;
    images.retain(ImageReference::is_resolved);
    Ok(images)
}

/// Lines of the files of `--build-arg-file`, each with its file.
type GivenBuildArgs = Vec<(PathBuf, Vec<String>)>;

fn given_build_args(files: &[PathBuf]) -> Result<GivenBuildArgs, OrchestratorError> {
    files
        .iter()
        .map(|file| Ok((file.clone(), package::parse_build_arg_file(file)?)))
        .collect()
}

/// Later wins: presets, build.yml, files. The ambient ones give way to all.
fn build_args(
    package: &Package,
    identity: &Identity,
    given: &GivenBuildArgs,
    ambient: &BTreeMap<String, String>,
    tags: &TagsOfOthers,
) -> Result<BTreeMap<String, String>, OrchestratorError> {
    let mut args = ambient.clone();
    args.extend(identity::preset_build_args(package, identity));
    args.extend(identity::resolve_build_args(
        &package.build_args,
        &package.build_yml,
        &mut |path| tags.get(path),
    )?);
    for (file, lines) in given {
        args.extend(identity::resolve_build_args(lines, file, &mut |path| tags.get(path))?);
    }
    Ok(args)
}

/// A fact that is the same for all packages of a repository, asked for once.
struct ByRepository<T, F> {
    known: BTreeMap<PathBuf, T>,
    find: F,
}

impl<T: Clone, F: Fn(&Path) -> Result<T, IdentityError>> ByRepository<T, F> {
    fn new(find: F) -> Self {
        Self {
            known: BTreeMap::new(),
            find,
        }
    }

    fn get(&mut self, directory: &Path) -> Result<T, OrchestratorError> {
        let is_top = |ancestor: &&Path| ancestor.join(".git").exists();
        let top = directory.ancestors().find(is_top).unwrap_or(directory).to_owned();
        if let Some(known) = self.known.get(&top) {
            return Ok(known.clone());
        }
        let found = (self.find)(directory)?;
        self.known.insert(top, found.clone());
        Ok(found)
    }
}

/// Tags of the packages that `@lkt:` values name, found for all of them at once: git is asked once a repository.
struct TagsOfOthers(BTreeMap<PathBuf, String>);

impl TagsOfOthers {
    fn find(loaded: &[(Package, Identity)], given: &GivenBuildArgs) -> Result<Self, OrchestratorError> {
        let mut paths = BTreeSet::new();
        let mut note = |path: &Path| -> Result<String, IdentityError> {
            paths.insert(path.to_owned());
            Ok(String::new())
        };
        for (package, _) in loaded {
            identity::resolve_build_args(&package.build_args, &package.build_yml, &mut note)?;
        }
        for (file, lines) in given {
            identity::resolve_build_args(lines, file, &mut note)?;
        }
        let read = |path: &PathBuf| package::load(path, &Overrides::default());
        let packages = paths.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let identities = identity::identify(&packages, &HashOptions::default())?;
        Ok(Self(
            paths
                .into_iter()
                .zip(identities.into_iter().map(|identity| identity.tag))
                .collect(),
        ))
    }

    /// The tag; `find` has seen every path that the same lines can ask for.
    fn get(&self, path: &Path) -> Result<String, IdentityError> {
        Ok(self.0.get(path).cloned().unwrap_or_default())
    }
}
