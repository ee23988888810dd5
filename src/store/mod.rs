//! The local store: an OCI layout that linuxkit can share.
