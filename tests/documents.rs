//! The documents: every link and anchor leads somewhere, in the repository and where the package puts them; and
//! everything that the program and the unit refer to exists.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use crate::support::{output, program};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("every_link_in_the_repository_leads_somewhere", every_link_in_the_repository_leads_somewhere),
    ("every_link_in_the_package_leads_somewhere", every_link_in_the_package_leads_somewhere),
    ("what_messages_refer_to_is_there", what_messages_refer_to_is_there),
    ("every_manual_page_that_is_referred_to_is_there", every_manual_page_that_is_referred_to_is_there),
    ("anchors_are_those_of_github", anchors_are_those_of_github),
];

/// A document, as far as links go.
struct Document {
    links: Vec<String>,
    anchors: BTreeSet<String>,
    /// What stands between backticks.
    code: Vec<String>,
}

impl Document {
    fn read(file: &Path) -> Self {
        Self::parse(&fs::read_to_string(file).unwrap())
    }

    fn parse(text: &str) -> Self {
        let mut document = Self { links: vec![], anchors: BTreeSet::new(), code: vec![] };
        let mut numbers = BTreeMap::<String, u32>::new();
        let mut heading = None;
        for event in Parser::new_ext(text, Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES) {
            match event {
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    document.links.push(dest_url.into_string());
                }
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => {
                    let slug = slug(&heading.take().unwrap_or_default());
                    let number = numbers.entry(slug.clone()).or_default();
                    document.anchors.insert(if *number == 0 { slug } else { format!("{slug}-{number}") });
                    *number += 1;
                }
                Event::Text(text) => heading.iter_mut().for_each(|heading| heading.push_str(&text)),
                Event::Code(code) => {
                    heading.iter_mut().for_each(|heading| heading.push_str(&code));
                    document.code.push(code.into_string());
                }
                _ => {}
            }
        }
        document
    }
}

/// The anchor of a heading, by GitHub's rules.
fn slug(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The documents in a directory and those below it.
fn documents(directory: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !path.is_symlink() && name != "target" && !name.starts_with('.') {
            documents(&path, found);
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
}

/// Where a relative link leads, without the `..` in it; `None` if it leaves the directory.
fn resolve(root: &Path, file: &Path, link: &str) -> Option<PathBuf> {
    let mut path = file.parent()?.to_owned();
    for component in Path::new(link).components() {
        match component {
            Component::Normal(name) => path.push(name),
            Component::ParentDir => drop(path.pop()),
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    path.starts_with(root).then_some(path)
}

/// Why a link leads nowhere, if it does.
fn fault(root: &Path, file: &Path, link: &str) -> Option<String> {
    if let Some((scheme, rest)) = link.split_once("://") {
        let host = rest.split(['/', ':', '?', '#']).next().unwrap_or_default();
        let is_address = matches!(scheme, "http" | "https") && host.contains('.') && !host.ends_with('.');
        return (!is_address).then(|| "is not an address on the web".into());
    }
    let (path, anchor) = link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor)));
    let target = if path.is_empty() { Some(file.to_owned()) } else { resolve(root, file, path) };
    let Some(target) = target else { return Some("leads out of the directory".into()) };
    if !target.exists() {
        return Some("leads to a file that does not exist".into());
    }
    let anchor = anchor?;
    let is_there = target.extension().is_some_and(|extension| extension == "md")
        && Document::read(&target).anchors.contains(anchor);
    (!is_there).then(|| format!("leads to a heading that {} does not have", target.display()))
}

fn assert_links(root: &Path) {
    let mut files = vec![];
    documents(root, &mut files);
    assert!(files.len() > 5, "{files:?}");
    let mut faults = vec![];
    for file in &files {
        for link in Document::read(file).links {
            if let Some(fault) = fault(root, file, &link) {
                faults.push(format!("{}: the link \"{link}\" {fault}", file.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn every_link_in_the_repository_leads_somewhere() {
    assert_links(repository());
    // Files that are named without a link have to be there too.
    const DIRECTORIES: [&str; 7] = ["scripts/", "docs/", "dist/", "src/", "sql/", "lab/", "tests/"];
    let mut files = vec![];
    documents(repository(), &mut files);
    for file in files {
        for code in Document::read(&file).code {
            let path = code.split_whitespace().next().unwrap_or_default();
            let is_file =
                DIRECTORIES.iter().any(|directory| path.starts_with(directory)) && !path.contains(['*', '<', '{']);
            let is_there = !is_file || repository().join(path).exists();
            assert!(is_there, "{}: there is no `{path}`", file.display());
        }
    }
}

/// What the package puts into /usr/share/doc/powa-collector.
fn package() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let mut stage = Command::new(repository().join("scripts/stage-documents"));
    let staged = output(stage.arg(directory.path()));
    assert!(staged.status.success(), "{}", String::from_utf8_lossy(&staged.stderr));
    // cargo-deb makes it of LICENSE.
    fs::write(directory.path().join("copyright"), "").unwrap();
    directory
}

fn every_link_in_the_package_leads_somewhere() {
    let package = package();
    assert_links(package.path());
    let unit = fs::read_to_string(repository().join("dist/powa-collector.service")).unwrap();
    let documentation = unit.lines().find_map(|line| line.strip_prefix("Documentation=")).unwrap();
    for place in documentation.split_whitespace() {
        match place.strip_prefix("file:///usr/share/doc/powa-collector/") {
            Some(file) => assert!(package.path().join(file).exists(), "{place}"),
            None => assert_eq!(place, "man:powa-collector(1)"),
        }
    }
    // What is installed has to be in the tree, but for what scripts/package makes.
    let manifest = fs::read_to_string(repository().join("Cargo.toml")).unwrap();
    let assets = manifest.split_once("assets = [").unwrap().1.split_once("\n]").unwrap().0;
    let sources = assets.lines().filter_map(|line| line.trim().strip_prefix("[\"")?.split('"').next());
    let sources: Vec<_> = sources.filter(|source| !source.starts_with("target/")).collect();
    assert!(sources.len() >= 3, "{assets}");
    for source in sources {
        assert!(repository().join(source).exists(), "{source}");
    }
}

/// The text of all Rust files in a directory and those below it.
fn sources(directory: &Path, found: &mut String) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

fn what_messages_refer_to_is_there() {
    let mut text = String::new();
    sources(&repository().join("src"), &mut text);
    sources(&repository().join("crates"), &mut text);
    let package = package();
    let mut number = 0;
    for (at, _) in text.match_indices("docs/") {
        let rest = &text[at..];
        let Some(end) = rest.find(".md") else { continue };
        let path = &rest[..end + 3];
        if path.contains(|c: char| c.is_whitespace() || c == '"') {
            continue;
        }
        number += 1;
        assert!(package.path().join(path).exists(), "{path}");
        // "Heading" in docs/file.md
        if let Some(quoted) = text[..at].strip_suffix("\\\" in ") {
            let heading = quoted.rsplit_once("\\\"").unwrap().1;
            assert!(Document::read(&package.path().join(path)).anchors.contains(&slug(heading)), "{heading} in {path}");
        }
    }
    assert!(number > 3, "{number}");
    let readme = Document::read(&package.path().join("README.md"));
    // "the README's chapter on permissions"
    assert!(text.contains("README's chapter on permissions") && readme.anchors.contains("permissions"));
}

fn every_manual_page_that_is_referred_to_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let printed = output(program().arg("man").arg("--directory").arg(directory.path()));
    assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    let mut number = 0;
    for page in fs::read_dir(directory.path()).unwrap() {
        let page = page.unwrap().path();
        let text = fs::read_to_string(&page).unwrap().replace("\\-", "-").replace("\\fR", "").replace("\\fB", "");
        for (at, _) in text.match_indices("(1)") {
            let before = text[..at].trim_end();
            let name = before.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '-').next().unwrap();
            if name.starts_with("powa-collector") {
                number += 1;
                assert!(directory.path().join(format!("{name}.1")).exists(), "{}: {name}(1)", page.display());
            }
        }
    }
    assert!(number > 5, "{number}");
}

fn anchors_are_those_of_github() {
    let text = "# Bloat and long transactions\n## `servers add`: A, B_c\n## Twice\n## Twice\n\n[x](#twice-1)\n";
    let document = Document::parse(text);
    let expected = ["bloat-and-long-transactions", "servers-add-a-b_c", "twice", "twice-1"];
    assert_eq!(document.anchors, expected.map(ToOwned::to_owned).into());
    assert_eq!(document.links, ["#twice-1"]);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.md");
    fs::write(&file, text).unwrap();
    for (link, is_good) in [
        ("#twice-1", true),
        ("a.md#twice", true),
        ("./a.md", true),
        ("#twice-2", false),
        ("b.md", false),
        ("../a.md", false),
        ("/etc/passwd", false),
        ("https://example.org/x#y", true),
        ("http://127.0.0.1:9187/", true),
        ("https://nowhere/x", false),
    ] {
        assert_eq!(fault(directory.path(), &file, link).is_none(), is_good, "{link}");
    }
}
