//! Where tests find their servers. A missing one is said aloud: CI counts a SKIP as a failure.
/// The value of `variable`, or None after a SKIP line that names it.
pub fn server(variable: &str) -> Option<String> {
    let value = std::env::var(variable).ok().filter(|value| !value.is_empty());
    if value.is_none() {
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        eprintln!("SKIP {test}: {variable} is not set; scripts/test starts the servers");
    }
    value
}
