//! Generates the server side of containerd's content service, as far as a BuildKit session uses it. Its messages are in
//! `src/build/session/proto.rs`: there are few, and to write them down spares everybody a compiler of protocol files.

use tonic_build::manual::{Builder, Method, Service};

fn main() {
    let method = |name: &str, route: &str, input: &str, output: &str| {
        Method::builder()
            .name(name)
            .route_name(route)
            .input_type(format!("super::{input}"))
            .output_type(format!("super::{output}"))
            .codec_path("tonic_prost::ProstCodec")
    };
    let content = Service::builder()
        .package("containerd.services.content.v1")
        .name("Content")
        .method(method("info", "Info", "InfoRequest", "InfoResponse").build())
        .method(method("update", "Update", "UpdateRequest", "UpdateResponse").build())
        .method(
            method("read", "Read", "ReadContentRequest", "ReadContentResponse")
                .server_streaming()
                .build(),
        )
        .method(method("status", "Status", "StatusRequest", "StatusResponse").build())
        .method(
            method("write", "Write", "WriteContentRequest", "WriteContentResponse")
                .client_streaming()
                .server_streaming()
                .build(),
        )
        .method(method("abort", "Abort", "AbortRequest", "Empty").build())
        .build();
    Builder::new().build_client(false).compile(&[content]);
    println!("cargo:rerun-if-changed=build.rs");
}
