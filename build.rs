//! Generates the server side of containerd's content service from `proto/content.proto`.
//!
//! `protox` compiles the protocol file in Rust, so that no `protoc` has to be installed.

fn main() {
    let files = protox::compile(["proto/content.proto"], ["proto"]).expect("proto/content.proto compiles");
    tonic_prost_build::configure()
        .build_client(false)
        .compile_fds(files)
        .expect("code is generated from proto/content.proto");
    println!("cargo:rerun-if-changed=proto/content.proto");
}
