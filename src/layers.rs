//! Whether each module uses only modules below it in `lib.rs`, as ARCHITECTURE.md says.

use std::path::{Path, PathBuf};

/// The modules of the collector, from the top down.
fn modules() -> Vec<&'static str> {
    let lines = include_str!("lib.rs").lines().filter(|line| *line != "mod layers;");
    lines.filter_map(|line| line.strip_prefix("pub ").unwrap_or(line).strip_prefix("mod ")?.strip_suffix(';')).collect()
}

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The names that follow `crate::` in a text.
fn used(text: &str) -> impl Iterator<Item = &str> {
    text.split("crate::").skip(1).filter_map(|rest| rest.split(|c: char| c != '_' && !c.is_ascii_alphanumeric()).next())
}

#[test]
fn modules_use_only_modules_below_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (modules, mut files) = (modules(), Vec::new());
    sources(&root, &mut files);
    let position = |name: &str| modules.iter().position(|module| *module == name);
    let (mut upwards, mut number) = (Vec::new(), 0);
    for file in files {
        let relative = file.strip_prefix(&root).unwrap();
        let first = relative.components().next().unwrap().as_os_str().to_str().unwrap();
        let Some(own) = position(first.trim_end_matches(".rs")) else { continue };
        let text = std::fs::read_to_string(&file).unwrap();
        // Tests may build what they need from anywhere.
        let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        for name in used(product) {
            if let Some(other) = position(name) {
                number += 1;
                if other < own {
                    upwards.push(format!("{} uses {name}", relative.display()));
                }
            }
        }
    }
    assert!(number > 200, "only {number} uses were found");
    assert_eq!(upwards, [""; 0]);
}

#[test]
fn crates_do_not_know_the_collector() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates");
    for (name, forbidden) in [("libpq", &["tokio", "session", "powa-collector"][..]), ("session", &["powa-collector"])]
    {
        let manifest = std::fs::read_to_string(root.join(name).join("Cargo.toml")).unwrap();
        let (_, dependencies) = manifest.split_once("[dependencies]").unwrap();
        let names: Vec<_> =
            dependencies.lines().filter_map(|line| line.split_once(" =")).map(|(name, _)| name).collect();
        assert!(names.len() > 2, "{name}: {names:?}");
        for other in forbidden {
            assert!(!names.contains(other), "{name} depends on {other}");
        }
    }
}
