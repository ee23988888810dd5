//! `lkpkg builder ls`: the builders that are meant, one a line, as they are.

use crate::builder::{self, BuilderError, Standing};
use crate::cli::args::builder::PlaceArgs;
use crate::cli::args::{Format, GlobalArgs};
use crate::cli::failure::{ExitCode, Failure};
use crate::cli::format::{Align, Table};
use crate::cli::{output, runtime, settings};
use crate::oci::{KNOWN_ARCHITECTURES, Platform};
use crate::orchestrator::{Builders, Seen};
use serde_json::{Value, json};

/// Runs the verb.
pub fn run(place: &PlaceArgs, global: &GlobalArgs) -> Result<(), Failure> {
    let builders = Builders::new(settings::builders(&place.which.builder(), global)?);
    let mut platforms = super::platforms(&place.which)?;
    if place.which.platforms.is_empty() {
        // Whoever asks what there is means the others' builders too.
        let known = KNOWN_ARCHITECTURES.map(Platform::linux);
        platforms.extend(
            known
                .into_iter()
                .filter(|platform| !platform.matches(&Platform::host())),
        );
    }
    let seen = runtime::block_on(async |cancel| {
        let seen = cancel.run_until_cancelled(builders.seen(&platforms)).await;
        seen.ok_or_else(|| Failure::new(ExitCode::Cancelled, "cancelled"))
    })?;
    if place.format == Format::Json {
        return output::json(&seen.iter().map(as_json).collect::<Vec<_>>());
    }
    let columns = ["NAME", "KIND", "STATUS", "BUILDKIT", "PLATFORMS"];
    let mut table = Table::new(&columns.map(|name| (name, Align::Left)));
    for one in &seen {
        let (status, reason) = status(one);
        let kind = one.place.as_ref().map_or("-", |place| place.kind());
        let status = match reason {
            // The first line says it; what else there is to do is said where a build fails.
            Some(reason) => format!("{status}: {}", reason.lines().next().unwrap_or_default()),
            None => status.to_owned(),
        };
        let (version, platforms) = match &one.standing {
            Ok(Standing::Running { version, platforms }) => (version.clone(), shown(platforms)),
            _ => (String::new(), String::new()),
        };
        table.row([one.name.clone(), kind.to_owned(), status, version, platforms]);
    }
    output::data(&table.render())
}

/// One word, and the reason where there is one to say.
pub(super) fn status(seen: &Seen) -> (&'static str, Option<String>) {
    match &seen.standing {
        Ok(Standing::Running { .. }) => ("running", None),
        Ok(Standing::Coming { is_there: true, .. }) => ("stopped", None),
        Ok(Standing::Coming { is_there: false, .. }) => ("absent", None),
        Err(BuilderError::Foreign { what, .. }) => ("foreign", Some(what.clone())),
        Err(error) => ("unreachable", Some(error.to_string())),
    }
}

/// Native ones first, emulated ones marked.
pub(super) fn shown(platforms: &[Platform]) -> String {
    let (emulated, native) = split(platforms);
    match emulated.is_empty() {
        true => native.join(","),
        false => format!("{} (emulated: {})", native.join(","), emulated.join(",")),
    }
}

/// Those that are emulated, and those that are not, each in BuildKit's order.
fn split(platforms: &[Platform]) -> (Vec<String>, Vec<String>) {
    let (emulated, native): (Vec<_>, Vec<_>) = platforms.iter().partition(|one| builder::emulates(platforms, one));
    let texts = |platforms: Vec<&Platform>| platforms.into_iter().map(Platform::to_string).collect();
    (texts(emulated), texts(native))
}

/// One builder as an object.
pub(super) fn as_json(seen: &Seen) -> Value {
    let (status, reason) = status(seen);
    let (version, all) = match &seen.standing {
        Ok(Standing::Running { version, platforms }) => (Some(version), platforms.as_slice()),
        _ => (None, [].as_slice()),
    };
    let (emulated, native) = split(all);
    json!({
        "builder": seen.name,
        "kind": seen.place.as_ref().map(|place| place.kind()),
        "address": seen.place.as_ref().and_then(|place| place.address()),
        "builds": seen.platforms.iter().map(Platform::to_string).collect::<Vec<_>>(),
        "status": status,
        "reason": reason,
        "version": version,
        "native": native,
        "emulated": emulated,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn native_platforms_come_first() {
        let check = |texts: &[&str], expected: &str| {
            let platforms: Vec<Platform> = texts.iter().map(|text| text.parse().expect(text)).collect();
            assert_eq!(shown(&platforms), expected);
        };
        check(&[], "");
        check(&["linux/amd64", "linux/386"], "linux/amd64,linux/386");
        check(
            &["linux/amd64", "linux/arm64", "linux/386"],
            "linux/amd64,linux/386 (emulated: linux/arm64)",
        );
    }
}
