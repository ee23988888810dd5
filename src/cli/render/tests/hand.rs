//! What recordings do not hold: odd output, progress, limits, closed pipes.

use super::*;
use crate::event::Events;

const MAKE: &str = "[1/1] RUN make";

/// What plain shows of a running vertex that gets these chunks of output, without what is the same for all.
fn plain_output(chunks: &[&[u8]]) -> Vec<String> {
    let mut events = vec![(0, begin(HELLO, &["amd64"])), (0, vertex(HELLO, MAKE, Some(0), None))];
    events.extend(chunks.iter().map(|chunk| (123, output(HELLO, MAKE, 123, chunk))));
    events.push((200, vertex(HELLO, MAKE, Some(0), Some(200))));
    events.push((400, finish(HELLO, Outcome::Built("sha256:0b".into()), 400)));
    let text = show(Style::Plain, events);
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    assert_eq!(lines[0], "hello lkpkg/hello:8c53c13 [linux/amd64] on local");
    assert_eq!(lines[1], "hello #1 [linux/amd64 1/1] RUN make");
    assert_eq!(lines[lines.len() - 2], "hello #1 DONE 0.2s");
    assert_eq!(
        lines[lines.len() - 1],
        "hello built lkpkg/hello:8c53c13 linux/amd64 1 step, 0 cached, 0.4s  sha256:0b"
    );
    lines[2..lines.len() - 2].to_vec()
}

#[test]
fn output_is_told_in_whole_harmless_lines() {
    let check = |chunks: &[&[u8]], expected: &[&str]| assert_eq!(plain_output(chunks), expected, "{chunks:?}");
    check(&[b"a\nb", b"c\n"], &["hello #1 0.123 a", "hello #1 0.123 bc"]);
    check(&[b"no end"], &["hello #1 0.123 no end"]);
    check(&[b" 10%\r 50%\r", b"100%\n"], &["hello #1 0.123 100%"]);
    check(&[b"\x1b[31mred\x1b[0m\x1b[2J\n"], &["hello #1 0.123 red"]);
    check(&[b"\xc3", b"\xa9\xff\n"], &["hello #1 0.123 é\u{fffd}"]);
    check(&[b"\n"], &["hello #1 0.123"]);
}

#[test]
fn progress_is_told_at_steps_only() {
    let mut events = vec![(0, begin(HELLO, &["amd64"])), (0, vertex(HELLO, MAKE, Some(0), None))];
    let told = |ms, current| (ms, transfer(HELLO, MAKE, "sha256:5b", current, 40_000_000, None));
    events.push(told(0, 0)); // it may end at once
    events.extend((0..100).map(|number| told(100 + number, number as i64 * 100_000))); // 0 to 25 %
    events.push(told(6_000, 10_000_000)); // little, but it was long ago
    let done = transfer(HELLO, MAKE, "sha256:5b", 40_000_000, 40_000_000, Some(7_000));
    events.extend([(7_000, done.clone()), (7_000, done)]);
    let text = show(Style::Plain, events);
    let told: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("hello #1 sha256:5b "))
        .collect();
    let expected = [
        "0B / 40MB",
        "2MB / 40MB",
        "4MB / 40MB",
        "6MB / 40MB",
        "8MB / 40MB",
        "10MB / 40MB",
    ];
    assert_eq!(told, [&expected[..], &["40MB / 40MB 7.0s done"]].concat());
}

#[test]
fn what_takes_long_is_told_even_when_nothing_more_is_heard() {
    let paper = Paper::default();
    let mut view = View::new(RenderOptions::new(Style::Plain), paper.clone());
    let extracting = transfer(HELLO, MAKE, "extracting sha256:5b", 0, 0, None);
    view.take([vertex(HELLO, MAKE, Some(0), None), extracting], Duration::ZERO);
    view.tick(Duration::from_millis(50));
    assert_eq!(paper.text(), "hello #1 [1/1] RUN make\n");
    for ms in (100..1_000).step_by(100) {
        view.tick(Duration::from_millis(ms));
    }
    assert_eq!(paper.text(), "hello #1 [1/1] RUN make\nhello #1 extracting sha256:5b\n");
}

#[test]
fn a_vertex_that_is_taken_up_again_ends_once() {
    let text = show(
        Style::Plain,
        vec![
            (0, vertex(HELLO, MAKE, Some(0), Some(10))),
            (1, vertex(HELLO, MAKE, Some(20), None)),
            (300, vertex(HELLO, MAKE, Some(20), Some(300))),
            (500, vertex(HELLO, MAKE, Some(20), Some(300))),
            (700, vertex(HELLO, MAKE, Some(20), Some(300))),
        ],
    );
    assert_eq!(text, "hello #1 [1/1] RUN make\nhello #1 DONE 0.3s\n");
}

#[test]
fn last_output_that_comes_after_the_end_is_told_before_it() {
    let text = show(
        Style::Plain,
        vec![
            (0, vertex(HELLO, MAKE, Some(0), Some(10))),
            (1, output(HELLO, MAKE, 5, "late\n")),
        ],
    );
    assert_eq!(
        text,
        "hello #1 [1/1] RUN make\nhello #1 0.005 late\nhello #1 DONE 0.0s\n"
    );
}

#[test]
fn one_short_name_never_stands_for_two_packages() {
    let text = show(
        Style::Plain,
        vec![
            (0, begin("one/hello:1", &["amd64"])),
            (0, begin("two/hello:2", &["amd64"])),
        ],
    );
    let expected = "hello one/hello:1 [linux/amd64] on local\ntwo/hello:2 two/hello:2 [linux/amd64] on local\n";
    assert_eq!(text, expected);
}

#[test]
fn a_package_on_two_endpoints_is_one_package() {
    let second = Event::StepStarted {
        step: step(HELLO),
        platforms: vec![Platform::linux("arm64")],
        endpoint: "arm".into(),
    };
    let built = finish(HELLO, Outcome::Built("sha256:0b".into()), 100);
    let text = show(
        Style::Plain,
        vec![(0, begin(HELLO, &["amd64"])), (1, second), (2, built)],
    );
    assert!(text.contains("[linux/amd64,linux/arm64] on local,arm\n"), "{text}");
    assert!(
        text.contains("built lkpkg/hello:8c53c13 linux/amd64,linux/arm64 0 steps"),
        "{text}"
    );
}

#[test]
fn a_package_that_is_built_twice_is_told_twice() {
    let built = || finish(HELLO, Outcome::Built("sha256:0b".into()), 100);
    let run = || [begin(HELLO, &["amd64"]), vertex(HELLO, MAKE, Some(0), Some(9)), built()];
    let paper = Paper::default();
    let mut view = View::new(RenderOptions::new(Style::Plain), paper.clone());
    view.take(run().into_iter().chain(run()), Duration::ZERO);
    let text = paper.text();
    assert_eq!(
        text.matches("hello #1 [linux/amd64 1/1] RUN make\nhello #1 DONE")
            .count(),
        2,
        "{text}"
    );
    assert_eq!(text.matches("1 step, 0 cached").count(), 2, "{text}");
}

#[test]
fn warnings_are_told_when_quiet_is_wanted() {
    let warning = |line| Event::BuildWarning {
        step: step(HELLO),
        text: "FromAsCasing: as".into(),
        line,
    };
    let events = vec![
        (0, Event::Notice("starting buildkitd".into())),
        (0, Event::Warning("no emulator for s390x".into())),
        (0, warning(3)),
        (0, warning(0)),
        (1, finish(HELLO, Outcome::Cancelled, 64_000)),
    ];
    let quiet = "warning: no emulator for s390x\nhello WARN: line 3: FromAsCasing: as\nhello WARN: FromAsCasing: as\n\
                 cancelled lkpkg/hello:8c53c13 after 1m04s\n";
    assert_eq!(show(Style::Quiet, events.clone()), quiet);
    let plain = format!("starting buildkitd\n{}", quiet.replace("cancelled", "hello cancelled"));
    assert_eq!(show(Style::Plain, events), plain);
}

#[test]
fn what_was_cancelled_is_not_repeated() {
    let error = |name: &str, error: &str| {
        changed(vertex(HELLO, name, Some(0), Some(50)), |vertex| {
            vertex.error = error.into()
        })
    };
    let text = show(
        Style::Quiet,
        vec![
            (0, vertex(HELLO, "bad", Some(0), None)),
            (0, vertex(HELLO, "other", Some(0), None)),
            (1, output(HELLO, "bad", 1, "why\n")),
            (1, output(HELLO, "other", 1, "fine\n")),
            (50, error("bad", "exit code: 7")),
            (50, error("other", "process: context canceled")),
            (60, finish(HELLO, Outcome::Failed("exit code: 7".into()), 60)),
        ],
    );
    let expected = "failed lkpkg/hello:8c53c13 after 0.1s: exit code: 7\n------\n > hello bad:\n0.001 why\n------\n";
    assert_eq!(text, expected);
}

#[test]
fn much_output_is_kept_within_limits() {
    let line = format!("{}\n", "x".repeat(1000));
    let mut model = Model::default();
    let mut changes = Vec::new();
    let mut now = Duration::ZERO;
    for vertex_number in 0..40 {
        let name = format!("[1/1] RUN make {vertex_number}");
        model.apply(vertex(HELLO, &name, Some(0), None), now, &mut changes);
        for _ in 0..300 {
            now += Duration::from_millis(1);
            model.apply(output(HELLO, &name, 1, &line), now, &mut changes);
            changes.clear();
        }
    }
    let kept: usize = model.steps[0].vertices.iter().map(|vertex| vertex.tail.bytes()).sum();
    assert!((1 << 20..=4 << 20).contains(&kept), "{kept} bytes are kept");
    for number in 0..40 {
        let name = format!("[1/1] RUN make {number}");
        let failed = changed(vertex(HELLO, &name, Some(0), Some(9)), |vertex| {
            vertex.error = "exit code: 1".into()
        });
        model.apply(failed, now, &mut changes);
    }
    model.apply(finish(HELLO, Outcome::Failed("all".into()), 9), now, &mut changes);
    model.prune();
    assert_eq!(model.failures.len(), 40);
    assert!(model.failures.iter().any(|failure| failure.tail.left_out > 0));
    assert!(
        line::failure(&model.failures[0])[2]
            .text
            .ends_with("earlier lines are left out]")
    );
    assert!(model.steps[0].vertices.is_empty());
    assert_eq!(model.steps[0].counts().ended, 40);
}

#[test]
fn rawjson_has_lines_of_its_own() {
    let mut json = String::new();
    let hostile = changed(vertex(HELLO, MAKE, Some(1), Some(2)), |vertex| {
        vertex.group = "exporting".into();
        vertex.is_cached = true;
        vertex.error = "\x1b[2J\u{202e}".into();
    });
    for event in [
        Event::Notice("starting buildkitd".into()),
        Event::Warning("no emulator for s390x".into()),
        begin(HELLO, &["amd64", "arm64"]),
        hostile,
        transfer(HELLO, MAKE, "sha256:5b", 7, 9, None),
        output(HELLO, MAKE, 5, b"\xff\n"),
        Event::BuildWarning {
            step: step(HELLO),
            text: "FromAsCasing".into(),
            line: 3,
        },
        finish(HELLO, Outcome::Built("sha256:0b".into()), 3_210),
        finish(HELLO, Outcome::Failed("exit code: 7".into()), 3_210),
        finish(HELLO, Outcome::Cancelled, 3_210),
    ] {
        json.push_str(&rawjson::line(&event, at(1)).unwrap());
        json.push('\n');
    }
    golden!("own.rawjson", json);
}

/// A pipe whose reader has gone.
struct Gone;

impl Write for Gone {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
    fn flush(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
}

#[tokio::test]
async fn a_reader_that_goes_away_stops_nothing() {
    for style in [Style::Tty, Style::Plain, Style::RawJson, Style::Quiet] {
        let (events, receiver) = Events::channel();
        let shown = tokio::spawn(render(receiver, RenderOptions::new(style), Gone));
        // More than the channel holds: nobody may wait for a renderer that has nothing to write to.
        for _ in 0..3_000 {
            events.send(Event::Warning("careful".into())).await;
        }
        drop(events);
        let summary = shown.await.unwrap();
        assert_eq!(
            summary,
            Summary {
                warnings: 3_000,
                is_output_closed: true,
                ..Summary::default()
            },
            "{style:?}"
        );
    }
}

#[tokio::test]
async fn the_summary_counts_packages() {
    let (events, receiver) = Events::channel();
    let paper = Paper::default();
    let shown = tokio::spawn(render(receiver, RenderOptions::new(Style::Plain), paper.clone()));
    events
        .send(finish("a/a:1", Outcome::Built("sha256:0b".into()), 1))
        .await;
    events.send(finish("a/b:1", Outcome::Failed("why".into()), 1)).await;
    events.send(finish("a/c:1", Outcome::Cancelled, 1)).await;
    drop(events);
    let expected = Summary {
        built: 1,
        moved: 0,
        failed: 1,
        cancelled: 1,
        warnings: 0,
        is_output_closed: false,
    };
    assert_eq!(shown.await.unwrap(), expected);
    assert_eq!(paper.text().lines().count(), 3);
}
