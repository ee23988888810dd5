//! Several processes of lkpkg, and others, at one container.
