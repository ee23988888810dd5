//! Frames of the live view, and how they look once drawn.

use super::*;
use line::{Kind, Line};
use tty::{Terminal, Tty};
use unicode_width::UnicodeWidthStr;

fn model(events: Vec<(u64, Event)>) -> Model {
    let (mut model, mut changes) = (Model::default(), Vec::new());
    for (ms, event) in events {
        model.apply(event, Duration::from_millis(ms), &mut changes);
    }
    model
}

fn frame_of(model: &Model, columns: usize, rows: usize, ms: u64) -> String {
    let lines = frame::frame(model, frame::Size { columns, rows }, Duration::from_millis(ms));
    assert!(lines.len() <= rows, "{} lines in {rows} rows", lines.len());
    assert!(lines.iter().all(|line| line.text.width() <= columns), "{lines:#?}");
    lines.into_iter().map(|line| line.text + "\n").collect()
}

/// Two packages: one with a build, output and cached vertices, one that pulls.
fn busy() -> Vec<(u64, Event)> {
    let cached = |name| changed(vertex(HELLO, name, Some(0), Some(0)), |vertex| vertex.is_cached = true);
    let make = "[linux/arm64 2/3] RUN make";
    let from = "[1/2] FROM docker.io/library/debian:12";
    let mut events = vec![
        (0, begin(HELLO, &["amd64", "arm64"])),
        (
            0,
            vertex(
                HELLO,
                "[internal] load build definition from Dockerfile",
                Some(0),
                Some(20),
            ),
        ),
        (10, cached("[linux/amd64 1/3] FROM docker.io/library/busybox:1.37")),
        (10, cached("[linux/arm64 1/3] FROM docker.io/library/busybox:1.37")),
        (20, vertex(HELLO, "[linux/amd64 2/3] RUN make", Some(0), Some(70))),
        (20, vertex(HELLO, make, Some(0), None)),
        (20, vertex(HELLO, "[linux/arm64 3/3] COPY . /", None, None)),
        (100, begin(TOOLS, &["amd64"])),
        (100, vertex(TOOLS, from, Some(0), None)),
        (
            110,
            transfer(TOOLS, from, "sha256:5b3f0a", 12_345_678, 40_000_000, None),
        ),
        (
            110,
            transfer(TOOLS, from, "sha256:77aa01", 40_000_000, 40_000_000, Some(100)),
        ),
    ];
    events.extend((1..=9).map(|number| {
        (
            200,
            output(HELLO, make, 200, format!("\x1b[32mcompiling\x1b[0m {number}.c\n")),
        )
    }));
    events.push((210, output(HELLO, make, 210, "linking 日本語 10%\rlinking 日本語 20%")));
    events
}

#[test]
fn a_frame_shows_what_runs() {
    let model = model(busy());
    golden!("busy.80x24.frame", frame_of(&model, 80, 24, 2_100));
    golden!("busy.50x10.frame", frame_of(&model, 50, 10, 2_100));
    golden!("busy.120x40.frame", frame_of(&model, 120, 40, 65_000));
}

#[test]
fn two_hundred_vertices_fit_into_24_lines() {
    let mut events = vec![(0, begin(HELLO, &["amd64"]))];
    for number in 1..=200 {
        let name = format!("[{number}/200] RUN make part-{number} {}", "x".repeat(200));
        events.push((number, vertex(HELLO, &name, Some(number), None)));
        events.push((number, output(HELLO, &name, number, "working\n".repeat(20))));
    }
    let model = model(events);
    let text = frame_of(&model, 80, 24, 5_000);
    assert_eq!(text.lines().count(), 24);
    assert!(text.ends_with(" … and 179 more that run\n"), "{text}");
}

#[test]
fn no_terminal_is_too_small() {
    let model = model(busy());
    for rows in 0..30 {
        for columns in (0..100).step_by(7) {
            frame_of(&model, columns, rows, 1_000);
        }
    }
}

#[test]
fn nothing_is_live_when_nothing_runs() {
    assert_eq!(frame_of(&model(vec![]), 80, 24, 0), "");
    let done = vec![(0, begin(HELLO, &["amd64"])), (9, finish(HELLO, Outcome::Cancelled, 9))];
    assert_eq!(frame_of(&model(done), 80, 24, 10), "");
}

/// What a terminal of 24 rows shows after it got this text.
fn screen(paper: &Paper, columns: u16) -> String {
    let mut parser = vt100::Parser::new(24, columns, 0);
    // What a terminal's driver makes of a newline.
    parser.process(paper.text().replace('\n', "\r\n").as_bytes());
    let rows = parser
        .screen()
        .rows(0, columns)
        .map(|row| row.trim_end().to_owned() + "\n")
        .collect::<String>();
    rows.trim_end().to_owned()
}

#[test]
fn frames_replace_each_other_and_leave_the_lasting_lines() {
    let paper = Paper::default();
    let mut tty = Tty::new(Terminal::new(paper.clone(), Some(60), Some(24), Arc::default()), false);
    let line = |text: &str| Line::new(Kind::Plain, text);
    tty.draw(&[line("one"), line("two"), line("three")]);
    assert_eq!(screen(&paper, 60), "one\ntwo\nthree");
    tty.print(&[line("built lkpkg/hello"), line("warning: careful")]);
    assert_eq!(
        screen(&paper, 60),
        "built lkpkg/hello\nwarning: careful\none\ntwo\nthree"
    );
    tty.draw(&[line("four")]);
    assert_eq!(screen(&paper, 60), "built lkpkg/hello\nwarning: careful\nfour");
    tty.clear();
    tty.print(&[line("failed")]);
    assert_eq!(screen(&paper, 60), "built lkpkg/hello\nwarning: careful\nfailed");
    assert!(
        paper.text().ends_with("failed\n"),
        "the shell's prompt gets a line of its own"
    );
}

#[test]
fn what_stays_on_a_terminal_is_short() {
    let paper = Paper::default();
    let options = RenderOptions {
        width: Some(80),
        height: Some(24),
        ..RenderOptions::new(Style::Tty)
    };
    let mut view = View::new(options, paper.clone());
    for (ms, event) in busy() {
        view.take([event], Duration::from_millis(ms));
        view.tick(Duration::from_millis(ms));
    }
    golden!("busy.80x24.screen", screen(&paper, 80));
    let built = || Outcome::Built(format!("sha256:{}", "0b".repeat(32)));
    view.take(
        [finish(HELLO, built(), 3_210), finish(TOOLS, built(), 500)],
        Duration::from_secs(3),
    );
    view.tick(Duration::from_secs(3));
    let summary = view.end(Duration::from_secs(3));
    assert_eq!((summary.built, summary.is_output_closed), (2, false));
    golden!("end.screen", screen(&paper, 80));
}

#[test]
fn colour_is_given_only_when_it_is_wanted() {
    let line = Line::new(Kind::Bad, "ERROR");
    assert_eq!(line.paint(false), "ERROR");
    assert_eq!(line.paint(true), "\x1b[31mERROR\x1b[0m");
}
