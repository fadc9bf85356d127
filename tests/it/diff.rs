//! `ghbk diff`: what lies between two points in time.

use crate::world::World;

#[test]
fn commits_are_told_apart_by_the_side_that_has_them() {
    let world = World::new();
    let site = world.add("acme/site");
    site.commit("old", "old.txt", "old").unwrap();
    site.annotated_tag("v1", "refs/heads/main").unwrap();
    world.run_at("2026-11-01T05:00:00Z".parse().unwrap(), &[]);
    site.commit("main", "new.txt", "new").unwrap();
    site.commit("feature", "feature.txt", "feature").unwrap();
    world.run_at("2026-11-08T05:00:00Z".parse().unwrap(), &[]);
    site.force_push("main").unwrap();
    site.delete_ref("refs/heads/old").unwrap();
    let pull = site.rev_parse("refs/heads/main").unwrap();
    site.set_ref("refs/pull/1/head", &pull).unwrap();
    world.run_at("2026-11-15T05:00:00Z".parse().unwrap(), &[]);

    let text = world.run(&["diff", "acme/site", "2026-11-02", "2026-11-09"]).expect(0).stdout;
    assert!(text.contains("  heads/feature created at ") && text.contains("  heads/main updated: "), "{text}");
    assert!(!text.contains('!') && text.contains("    + "), "{text}");
    let text = world.run(&["diff", "acme/site"]).expect(0).stdout;
    for words in
        ["! heads/main force-pushed: ", "! heads/old deleted (was ", "    - ", "1 other ref, such as pull requests"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
    let json = world.run(&["diff", "acme/site", "--json"]).expect(0).json();
    let main = json["refs"].as_array().unwrap().iter().find(|it| it["name"] == "refs/heads/main").unwrap();
    assert_eq!((main["kind"].as_str(), main["removed"]["count"].as_u64()), (Some("force-pushed"), Some(1)), "{json:#}");
    let pull = json["refs"].as_array().unwrap().iter().find(|it| it["name"] == "refs/pull/1/head").unwrap();
    assert!(pull.get("added").is_none(), "{json:#}");
    // The first snapshot has nothing before it.
    let text = world.run(&["diff", "acme/site", "2026-11-02", "2026-11-02"]).expect(0).stdout;
    assert!(text.contains("no ref differs"), "{text}");
    let ended = world.run(&["diff", "acme/site", "2026-11-09", "2026-11-02"]).expect(2);
    assert!(ended.stderr.contains("is later than TO"), "{ended:#?}");
    // Needs nothing but the objects.
    std::fs::remove_file(world.mirror("acme/site").join("HEAD")).unwrap();
    world.run(&["diff", "acme/site"]).expect(0);
}
