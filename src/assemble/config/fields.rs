//! The fields of an image YAML as data. What is read, what is refused, and the JSON schema come from here.

use crate::yaml::fields::Kind::{Choice, Embedded, Flag, Id, List, Struct, Text};
use crate::yaml::fields::{Field, IMAGE_CONFIG, Kind, given};

const TEXTS: Kind = List(&Text);

/// Everything at the top of the file.
pub(super) const ROOT: &[Field] = &[
    given("kernel", Struct(KERNEL)),
    given("init", TEXTS),
    given("volumes", List(&Struct(VOLUME))),
    given("onboot", List(&Struct(CONTAINER))),
    given("onshutdown", List(&Struct(CONTAINER))),
    given("services", List(&Struct(CONTAINER))),
    given("files", List(&Struct(FILE))),
    // Content trust is gone from linuxkit; files that still say it are read.
    given("trust", Struct(&[given("image", TEXTS), given("org", TEXTS)])),
];

const KERNEL: &[Field] = &[
    given("image", Text),
    given("cmdline", Text),
    given("binary", Text),
    given("tar", Text),
    given("ucode", Text),
];

const VOLUME: &[Field] = &[
    given("name", Text),
    given("image", Text),
    given("readonly", Flag),
    given("format", Choice(&["filesystem", "oci"])),
    given("platforms", TEXTS),
];

const CONTAINER: &[Field] = &[
    given("name", Text),
    given("image", Text),
    given("", Embedded(IMAGE_CONFIG)),
];

const FILE: &[Field] = &[
    given("path", Text),
    given("directory", Flag),
    given("symlink", Text),
    given("contents", Text),
    given("source", Text),
    given("metadata", Choice(&["yaml", "json"])),
    given("optional", Flag),
    given("mode", Text),
    given("uid", Id),
    given("gid", Id),
];

/// The fields that an image's label `org.mobyproject.config` may have.
pub(super) const LABEL: &[Field] = IMAGE_CONFIG;
