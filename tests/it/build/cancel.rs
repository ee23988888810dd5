//! Builds that are given up.

use super::*;
use crate::program::processes;

#[tokio::test]
async fn cancelling_ends_the_step_and_leaves_nothing() {
    let Some(endpoint) = buildkit().await else { return };
    // A number of seconds that nobody else sleeps.
    let sleep = format!("sleep 3{}", std::process::id());
    let package = Package::new(&format!("{BASE}RUN echo started {} && {sleep}\n", unique()));
    let content = Arc::new(Memory::default());
    let cancel = CancellationToken::new();
    let start = Instant::now();
    let outcome = package
        .build_until(&endpoint, content.clone(), &cancel, |event| is_log(event, "started"))
        .await;
    assert!(
        matches!(outcome.error(), BuildError::Cancelled),
        "{:?}",
        outcome.error()
    );
    let took = wait_until(|| processes(&sleep).is_empty()).await;
    eprintln!("the step ended {took:?} after the build");
    assert!(
        took < Duration::from_secs(10),
        "the step ended {took:?} after the build, {:?} after its start",
        start.elapsed()
    );
    assert_eq!(content.count(&content.written), 0);
    assert!(
        Arc::strong_count(&content) == 1,
        "nothing works with the content any more"
    );
}

#[tokio::test]
async fn cancelling_before_and_while_writing() {
    let Some(endpoint) = buildkit().await else { return };
    let package = Package::new("FROM scratch\nCOPY x /x\n").file("x", &unique());
    let cancel = CancellationToken::new();
    cancel.cancel();
    let outcome = package
        .build_until(&endpoint, Arc::new(Memory::default()), &cancel, |_| false)
        .await;
    assert!(matches!(outcome.error(), BuildError::Cancelled) && outcome.events.is_empty());

    let content = Arc::new(own::Stuck::default());
    let cancel = CancellationToken::new();
    let (outcome, ()) = tokio::join!(
        package.build_until(&endpoint, content.clone(), &cancel, |_| false),
        async {
            wait_until(|| content.is_writing()).await;
            cancel.cancel();
        }
    );
    assert!(matches!(outcome.error(), BuildError::Cancelled));
    assert!(!content.is_writing(), "the put was dropped");
    assert_eq!(Arc::strong_count(&content), 1);
}
