//! Packages that stand on each other, and images that were never pushed.

use super::*;

#[test]
fn packages_that_need_each_other_are_built_in_order() {
    let Some(workshop) = Workshop::with_buildkit() else {
        return;
    };
    let mark = unique();
    workshop.package(
        "base",
        "org: test\nimage: base\narches: [amd64]\n",
        &format!("FROM busybox:1.37\nRUN echo {mark} >/mark\n"),
    );
    workshop.package(
        "top",
        "org: test\nimage: top\narches: [amd64]\nbuildArgs: ['BASE=@lkt:pkg:../base']\n",
        "ARG BASE\nFROM ${BASE}\nRUN cp /mark /copy\n",
    );
    let tags: Vec<String> = ["base", "top"]
        .map(|name| workshop.run(&["show-tag", name]).done().trim_end().to_owned())
        .to_vec();
    for order in [["top", "base"], ["base", "top"]] {
        let plan = workshop.run(&["plan", order[0], order[1]]).done();
        assert!(plan.contains(&format!("  after {}\n", tags[0])), "{plan}");
        let lines = workshop.build(&order).done();
        // In the order of the arguments, whatever was built first.
        let found: Vec<&str> = lines
            .lines()
            .map(|line| line.split([':', '@']).next().unwrap())
            .collect();
        assert_eq!(found, order.map(|name| format!("test/{name}")));
        assert_eq!(files(&workshop, &tags[1], "linux/amd64")["copy"], mark);
        let names: Vec<String> = tags
            .iter()
            .flat_map(|tag| [tag.clone(), format!("{tag}-amd64")])
            .collect();
        let arguments: Vec<&str> = ["cache", "rm"]
            .into_iter()
            .chain(names.iter().map(String::as_str))
            .collect();
        workshop.run(&arguments).done();
    }
    // Alone it cannot be built: the other is neither in the cache nor anywhere else.
    workshop
        .build(&["top"])
        .failed(1, &["failed to build test/top:", "test/base:"]);
    workshop.build(&["base"]).done();
    workshop.build(&["top"]).done();
}

#[test]
fn an_image_that_is_only_in_the_cache_is_built_upon() {
    let Some(workshop) = Workshop::with_buildkit() else {
        return;
    };
    let Ok(bases) = std::env::var("LKPKG_TEST_BASES") else {
        return;
    };
    workshop
        .run(&["cache", "import", "--name", "nowhere.example/only/here:1", &bases])
        .done();
    let dockerfile = format!("FROM nowhere.example/only/here:1\nRUN echo {} >/mark\n", unique());
    assert!(built(&workshop, "", &dockerfile, &[]).contains_key("mark"));
    let run = workshop.build(&["--force", "--ignore-cached", "p"]);
    assert_ne!(run.code, 0);
    assert!(run.stderr.contains("nowhere.example/only/here:1"), "{}", run.stderr);
}
