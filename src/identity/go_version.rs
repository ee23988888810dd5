//! `GOPKGVERSION`: what Go would call the checked-out commit.

use super::IdentityError;
use super::git::Repositories;
use semver::Version;
use std::path::Path;

/// How many digits of the commit a pseudo-version carries.
const COMMIT_DIGITS: usize = 12;

/// Go's version of the repository that `directory` (absolute, symbolic links resolved) is in: the highest tag
/// `vX.Y.Z` on HEAD, else a pseudo-version after the highest one in HEAD's history (go.dev/ref/mod, "Pseudo-versions").
/// `None` outside git and before the first commit.
///
/// May walk the history, so it is asked for only when something is built.
pub fn go_package_version(directory: &Path) -> Result<Option<String>, IdentityError> {
    let mut repositories = Repositories::default();
    let Some(place) = repositories.locate(directory)? else {
        return Ok(None);
    };
    let repository = repositories.get(place.repository);
    let Some(head) = repository.head()? else {
        return Ok(None);
    };
    let tags = repository.tags()?.into_iter();
    let mut tags: Vec<(Version, String)> = tags.filter_map(|tag| Some((version(&tag.name)?, tag.commit))).collect();
    tags.sort_by(|a, b| b.cmp(a));
    if let Some((tag, _)) = tags.iter().find(|(_, commit)| *commit == head) {
        return Ok(Some(format!("v{tag}")));
    }
    let mut base = None;
    for (tag, commit) in tags {
        if repository.is_in_history(&commit)? {
            base = Some(tag);
            break;
        }
    }
    let stamp = format!("{}-{}", utc(repository.head_time_s()?), &head[..COMMIT_DIGITS]);
    Ok(Some(pseudo_version(base, &stamp)))
}

/// `vX.Y.Z` and `vX.Y.Z-pre`; Go gives build metadata (`+x`) no place in tags.
fn version(tag: &str) -> Option<Version> {
    let version = Version::parse(tag.strip_prefix('v')?).ok()?;
    version.build.is_empty().then_some(version)
}

/// The version of a commit after `base`: below the next patch release, above everything before it.
fn pseudo_version(base: Option<Version>, stamp: &str) -> String {
    match base {
        None => format!("v0.0.0-{stamp}"),
        Some(base) if base.pre.is_empty() => {
            format!("v{}.{}.{}-0.{stamp}", base.major, base.minor, base.patch + 1)
        }
        Some(base) => format!("v{base}.0.{stamp}"),
    }
}

/// `yyyymmddhhmmss` in UTC of a time in seconds since 1970.
pub fn utc(time_s: i64) -> String {
    const DAY_S: i64 = 86_400;
    let (days, second) = (time_s.div_euclid(DAY_S), time_s.rem_euclid(DAY_S));
    // Counted from 1 March of the year 0 in eras of 400 years, so that a leap day is the last of its year.
    let day_of_all = days + 719_468;
    let (era, day_of_era) = (day_of_all.div_euclid(146_097), day_of_all.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{:02}", second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc() {
        for (time_s, expected) in [
            (0, "19700101000000"),
            (951_782_399, "20000228235959"),
            (951_782_400, "20000229000000"),
            (1_709_251_199, "20240229235959"),
            (4_102_444_800, "21000101000000"),
            (-1, "19691231235959"),
        ] {
            assert_eq!(utc(time_s), expected);
        }
    }

    #[test]
    fn pseudo_versions_are_gos() {
        let check = |base: Option<&str>, expected: &str| {
            assert_eq!(
                pseudo_version(base.and_then(version), "20240102030405-0123456789ab"),
                expected
            );
        };
        check(None, "v0.0.0-20240102030405-0123456789ab");
        check(Some("v1.2.3"), "v1.2.4-0.20240102030405-0123456789ab");
        check(Some("v1.2.3-rc1"), "v1.2.3-rc1.0.20240102030405-0123456789ab");
    }

    #[test]
    fn only_gos_tags_are_versions() {
        for (tag, expected) in [
            ("v1.2.3", true),
            ("v1.2.3-rc.1", true),
            ("1.2.3", false),
            ("v1.2", false),
            ("v1.2.3+x", false),
        ] {
            assert_eq!(version(tag).is_some(), expected, "{tag}");
        }
    }
}
