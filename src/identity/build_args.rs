//! Build args that come from identities: the presets, and `@lkt:` values.

use super::{Identity, IdentityError, glob};
use crate::package::Package;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What a value that lkpkg resolves begins with.
const MARK: &str = "@lkt:";
/// What stands for the image's name in the key of `@lkt:pkgs:`.
const STEM: char = '%';

/// The preset that takes longer to find than the others: see [`super::go_package_version`].
pub const GO_PACKAGE_VERSION: &str = "GOPKGVERSION";

/// The build args that every package gets unless its own say otherwise: `SOURCE`, `REVISION` (clean packages in git
/// only), `PKG_HASH` and `PKG_IMAGE`; not [`GO_PACKAGE_VERSION`]. What is empty is left out.
pub fn preset_build_args(package: &Package, identity: &Identity) -> BTreeMap<String, String> {
    let revision = identity.commit.as_deref().filter(|_| !identity.is_dirty);
    let presets = [
        ("SOURCE", Some(package.git_repository.as_str())),
        ("REVISION", revision),
        ("PKG_HASH", identity.hash.as_deref()),
        ("PKG_IMAGE", Some(identity.image.as_str())),
    ];
    let presets = presets.into_iter().filter_map(|(key, value)| Some((key, value?)));
    let presets = presets.filter(|(_, value)| !value.is_empty());
    presets.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// `KEY=VALUE` lines as pairs, in their order, with `@lkt:` values resolved: `@lkt:pkg:PATH` becomes the tag of the
/// package at PATH, `KEY_%=@lkt:pkgs:GLOB` one pair a package directory that matches, in the order of the paths.
///
/// Paths are relative to the directory of `file`, which holds the lines; `tag_of` gives `org/image:tag` of the package
/// in a directory.
pub fn resolve_build_args(
    lines: &[String],
    file: &Path,
    tag_of: &mut dyn FnMut(&Path) -> Result<String, IdentityError>,
) -> Result<Vec<(String, String)>, IdentityError> {
    let mut resolved = Vec::new();
    for line in lines {
        let wrong = |reason: String| IdentityError::BuildArg {
            // A value may be a secret: only the key is ever shown.
            key: line.split('=').next().unwrap_or_default().to_owned(),
            file: file.to_owned(),
            reason,
        };
        let (key, value) = line
            .split_once('=')
            .ok_or_else(|| wrong("it must be KEY=VALUE".to_owned()))?;
        let Some(special) = value.strip_prefix(MARK) else {
            resolved.push((key.to_owned(), value.to_owned()));
            continue;
        };
        let anchor = file.parent().unwrap_or(Path::new(""));
        match special.split_once(':') {
            Some(("pkg", path)) => resolved.push((key.to_owned(), tag_of(&clean(&anchor.join(path)))?)),
            Some(("pkgs", pattern)) => {
                if !key.contains(STEM) {
                    return Err(wrong(format!("the key of {MARK}pkgs: must contain a {STEM}")));
                }
                for directory in directories(&clean(&anchor.join(pattern))).map_err(wrong)? {
                    let tag = tag_of(&directory)?;
                    resolved.push((key.replace(STEM, &stem(&tag)), tag));
                }
            }
            _ => return Err(wrong(format!("{value} is neither {MARK}pkg:PATH nor {MARK}pkgs:GLOB"))),
        }
    }
    Ok(resolved)
}

/// The directories that `pattern` matches, without hidden ones.
fn directories(pattern: &Path) -> Result<Vec<PathBuf>, String> {
    let matches = glob::expand(pattern)?;
    let mut directories = Vec::with_capacity(matches.len());
    for path in matches {
        let metadata = std::fs::metadata(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let is_hidden = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if metadata.is_dir() && !is_hidden {
            directories.push(path);
        }
    }
    match directories.is_empty() {
        true => Err(format!("no package directory matches {}", pattern.display())),
        false => Ok(directories),
    }
}

/// `org/image:tag` → `ORG_IMAGE`.
fn stem(tag: &str) -> String {
    let name_start = tag.rfind('/').map_or(0, |slash| slash + 1);
    let image = match tag[name_start..].find(':') {
        Some(colon) => &tag[..name_start + colon],
        None => tag,
    };
    image.replace(['/', '-'], "_").to_uppercase()
}

/// `path` without `.` and with `..` taken back, by text alone as linuxkit does it.
fn clean(path: &Path) -> PathBuf {
    use std::path::Component;
    let mut clean = PathBuf::new();
    for component in path.components() {
        match (component, clean.components().next_back()) {
            (Component::CurDir, _) | (Component::ParentDir, Some(Component::RootDir)) => {}
            (Component::ParentDir, Some(Component::Normal(_))) => _ = clean.pop(),
            (component, _) => clean.push(component),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(directory: &Path, line: &str) -> Result<Vec<(String, String)>, IdentityError> {
        let mut tag_of = |path: &Path| {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
            Ok(format!("my-org/{}:t-1", name.unwrap_or_default()))
        };
        resolve_build_args(&[line.to_owned()], &directory.join("self/build.yml"), &mut tag_of)
    }

    fn packages() -> tempfile::TempDir {
        let directory = tempfile::tempdir().expect("a directory");
        for name in ["self", "b-x", "a", ".hidden"] {
            std::fs::create_dir(directory.path().join(name)).expect("created");
        }
        std::fs::write(directory.path().join("file"), "").expect("written");
        directory
    }

    #[test]
    fn values_resolve() {
        let directory = packages();
        let check = |line: &str, expected: &[(&str, &str)]| {
            let resolved = resolve(directory.path(), line).expect(line);
            let resolved: Vec<_> = resolved.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            assert_eq!(resolved, expected, "{line}");
        };
        check("A=b=c", &[("A", "b=c")]);
        check("A=", &[("A", "")]);
        check("A=@lkt:pkg:../b-x", &[("A", "my-org/b-x:t-1")]);
        check("A=@lkt:pkg:/x/./y/../z", &[("A", "my-org/z:t-1")]);
        check(
            "P_%=@lkt:pkgs:../*",
            &[
                ("P_MY_ORG_A", "my-org/a:t-1"),
                ("P_MY_ORG_B_X", "my-org/b-x:t-1"),
                ("P_MY_ORG_SELF", "my-org/self:t-1"),
            ],
        );
        check("%=@lkt:pkgs:../b-x", &[("MY_ORG_B_X", "my-org/b-x:t-1")]);
    }

    #[test]
    fn faults_name_the_key_and_the_file() {
        let directory = packages();
        for (line, text) in [
            ("novalue", "it must be KEY=VALUE"),
            ("A=@lkt:pkgs:../*", "must contain a %"),
            ("A_%=@lkt:pkgs:../none*", "no package directory matches"),
            ("A_%=@lkt:pkgs:../file", "no package directory matches"),
            ("A_%=@lkt:pkgs:../[", "is not a pattern"),
            ("A=@lkt:what:../a", "neither"),
        ] {
            let error = resolve(directory.path(), line).expect_err(line).to_string();
            assert!(
                error.contains(text) && error.contains("self/build.yml"),
                "{line}: {error}"
            );
        }
    }
}
