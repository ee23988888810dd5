//! Paths as text: Go's `path.Clean` and `path.Join`, which patterns and follow paths are defined by. Touches no file.

/// The shortest path with the same meaning, by text alone: no `//`, no `.`, no `..` behind a name, no trailing `/`.
/// The empty path is `.`.
pub(crate) fn clean_path(path: &str) -> String {
    let is_absolute = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            ".." if is_absolute => {}
            other => parts.push(other),
        }
    }
    let joined = parts.join("/");
    match (is_absolute, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

/// Joins and cleans: the second path lies in the first, even when it starts with `/`.
pub(crate) fn join_paths(directory: &str, path: &str) -> String {
    match (directory, path) {
        ("", "") => String::new(),
        ("", path) => clean_path(path),
        (directory, path) => clean_path(&format!("{directory}/{path}")),
    }
}

/// The directory part of a cleaned relative path; `.` for a single name.
pub(crate) fn parent_path(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some(("", _)) => "/",
        Some((parent, _)) => parent,
        None => ".",
    }
}

/// The last name of a cleaned path.
pub(crate) fn base_name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_by_text() {
        for (path, expected) in [
            ("", "."),
            (".", "."),
            ("./a", "a"),
            ("a//b/", "a/b"),
            ("a/./b/../c", "a/c"),
            ("../a", "../a"),
            ("a/../../b", "../b"),
            ("/../a", "/a"),
            ("/", "/"),
            ("!./a", "!./a"),
            ("a/..", "."),
        ] {
            assert_eq!(clean_path(path), expected, "{path:?}");
        }
        assert_eq!(join_paths(".", "/x"), "x");
        assert_eq!(join_paths(".", "../x"), "../x");
        assert_eq!(join_paths("/", "../x"), "/x");
        assert_eq!(join_paths("/a", ""), "/a");
    }
}
