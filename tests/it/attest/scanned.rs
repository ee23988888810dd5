//! What a real scanner wrote about real images, judged by validators that are not ours.

use super::*;
use crate::program::digest;
use std::process::Command;

/// A workshop with a scanner.
struct Laboratory {
    workshop: Workshop,
    scanner: String,
    org: String,
}

impl Laboratory {
    /// None after a SKIP line.
    fn new() -> Option<Self> {
        let (registry, scanner) = (server("LKPKG_TEST_REGISTRY")?, server("LKPKG_TEST_SCANNER")?);
        Some(Self {
            workshop: Workshop::with_buildkit()?,
            scanner,
            org: format!("{registry}/{}", unique()),
        })
    }

    /// Builds and pushes a package, and gives its name and digest. It has a Python package in it, of which the scanner finds a licence.
    fn push(&self, name: &str, arches: &str, base: &str, licence: &str) -> (String, String) {
        let metadata = format!("Metadata-Version: 2.1\nName: demo\nVersion: 1.0\nLicense: {licence}\n");
        self.workshop.write(&format!("{name}/METADATA"), &metadata);
        let build_yml = format!(
            "org: {}\nimage: {name}\narches: [{arches}]\nconfig:\n  pid: host\n",
            self.org
        );
        let place = "/usr/lib/python3/dist-packages/demo-1.0.dist-info/METADATA";
        let dockerfile = format!("FROM {base}\nCOPY METADATA {place}\n");
        self.workshop.package(name, &build_yml, &dockerfile);
        let line = self
            .workshop
            .run(&["push", "--sbom-scanner", &self.scanner, name])
            .done();
        let name = line.split('@').next().unwrap().to_owned();
        (name, digest(&line))
    }

    /// What `lkpkg sbom VERB …` prints.
    fn sbom(&self, arguments: &[&str]) -> String {
        self.workshop.run(&[&["sbom"], arguments].concat()).done()
    }

    /// The validators have nothing against the document.
    fn validate(&self, format: &str, document: &str) {
        let Some(python) = server("LKPKG_TEST_VALIDATORS") else {
            return;
        };
        // The validators know formats by the names of files.
        let path = self.workshop.path().join(format!("document.{format}.json"));
        std::fs::write(&path, document).unwrap();
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/validate-sbom");
        let output = Command::new(python)
            .arg(program)
            .arg(format)
            .arg(&path)
            .output()
            .unwrap();
        let said = [&output.stdout[..], &output.stderr[..]]
            .map(String::from_utf8_lossy)
            .concat();
        assert!(output.status.success(), "{said}");
    }
}

#[test]
fn sboms_of_two_packages_are_shown_merged_and_compared() {
    let Some(laboratory) = Laboratory::new() else { return };
    let (one, index) = laboratory.push("one", "amd64, arm64", "busybox:1.37", "MIT");
    let (two, _) = laboratory.push("two", "amd64", "busybox:1.37", "Apache-2.0");
    let table = laboratory.sbom(&["show", &one, "--platform", "linux/amd64"]);
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["NAME", "VERSION", "TYPE", "LICENCE"]);
    assert!(lines.contains(&vec!["busybox", "1.37.0", "generic", "-"]), "{table}");
    assert!(lines.contains(&vec!["demo", "1.0", "pypi", "MIT"]), "{table}");

    // The same from the registry, and the document is the scanner's, byte for byte.
    let show = |from: &str, format: &str| {
        laboratory.sbom(&[
            "show",
            "--platform",
            "linux/arm64",
            "--from",
            from,
            "--format",
            format,
            &one,
        ])
    };
    for format in ["table", "spdx", "cyclonedx"] {
        assert_eq!(show("cache", format), show("registry", format));
    }
    let text = laboratory.workshop.run(&["inspect", "--format", "json", &one]).done();
    let found: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(found["digest"], index.as_str());
    let images = found["images"].as_array().unwrap();
    let platforms: Vec<_> = images.iter().map(|image| image["platform"].as_str().unwrap()).collect();
    assert_eq!(platforms, ["linux/amd64", "linux/arm64"]);
    assert!(
        images
            .iter()
            .all(|image| image["config"]["pid"] == "host" && image["missing"] == json!([]))
    );
    let listed = &images[1]["attestations"][0];
    assert_eq!(listed["type"], SPDX);
    let blob = std::fs::read_to_string(laboratory.workshop.blob(listed["digest"].as_str().unwrap())).unwrap();
    assert!(blob.contains(show("cache", "spdx").trim_end()));

    let difference = laboratory.sbom(&["diff", &one, &two]);
    assert_eq!(difference, "~ demo 1.0, licence MIT → Apache-2.0\n");
    assert_eq!(laboratory.sbom(&["diff", "--exit-code", &one, &one]), "");
    let differs = laboratory
        .workshop
        .run(&["sbom", "diff", "--exit-code", "--format", "json", &one, &two]);
    let differs = differs.failed(1, &["differ: 1 with another licence"]);
    let json: Value = serde_json::from_str(&differs.stdout).unwrap();
    assert_eq!(
        (&json["changes"][0]["change"], &json["same"]),
        (&json!("licence"), &json!(2))
    );

    for (format, platform) in [("spdx", "linux/amd64"), ("spdx", "all"), ("cyclonedx", "all")] {
        let merge = |images: &[&str], from: &str| {
            let how = [
                "merge",
                "-o",
                "-",
                "--format",
                format,
                "--platform",
                platform,
                "--from",
                from,
            ];
            laboratory.sbom(&[&how, images].concat())
        };
        let document = merge(&[&one, &two], "cache");
        assert_eq!(document, merge(&[&two, &one, &two], "registry"));
        laboratory.validate(format, &document);
    }
    laboratory.validate("cyclonedx", &show("cache", "cyclonedx"));

    // Another machine has only one platform of it.
    let other = Workshop::new();
    other.run(&["cache", "pull", "--platforms", "linux/amd64", &one]).done();
    other.run(&["sbom", "show", "--platform", "linux/amd64", &one]).done();
    let sparse = other.run(&["sbom", "show", "--platform", "linux/arm64", &one]);
    sparse.failed(3, &["is missing", "lkpkg cache pull", "--from registry"]);
    let text = other.run(&["inspect", &one]).done();
    assert!(text.contains("not here"), "{text}");
}

#[test]
fn the_sbom_of_a_distribution_is_shown_and_merged() {
    let Some(laboratory) = Laboratory::new() else { return };
    let Some(debian) = server("LKPKG_TEST_DEBIAN") else {
        return;
    };
    laboratory.workshop.run(&["cache", "import", &debian]).done();
    let host = lkpkg::oci::Platform::host().architecture;
    let (debian, _) = laboratory.push("debian", &host, "debian:bookworm-slim", "MIT");
    let (small, _) = laboratory.push("small", &host, "busybox:1.37", "MIT");
    let table = laboratory.sbom(&["show", &debian]);
    assert!(
        table.lines().filter(|line| line.contains(" deb ")).count() > 90,
        "{table}"
    );
    assert!(table.lines().any(|line| line.starts_with("libc6 ")), "{table}");
    for format in ["spdx", "cyclonedx"] {
        let merge =
            |images: [&str; 2]| laboratory.sbom(&["merge", "-o", "-", "--format", format, images[0], images[1]]);
        let document = merge([&debian, &small]);
        assert!(document == merge([&small, &debian]));
        laboratory.validate(format, &document);
    }
}
