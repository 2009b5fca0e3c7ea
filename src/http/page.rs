//! The files of the status page, which are compiled in.

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// A file of the page.
pub(super) struct Asset {
    pub(super) path: &'static str,
    pub(super) content_type: &'static str,
    pub(super) content: &'static str,
}

pub(super) const ASSETS: &[Asset] = &[
    Asset { path: "/", content_type: "text/html; charset=utf-8", content: include_str!("page/index.html") },
    Asset { path: "/page.css", content_type: "text/css; charset=utf-8", content: include_str!("page/page.css") },
    Asset { path: "/icon.svg", content_type: "image/svg+xml", content: include_str!("page/icon.svg") },
    script("/page.js", include_str!("page/page.js")),
    script("/chart.js", include_str!("page/chart.js")),
    script("/counts.js", include_str!("page/counts.js")),
    script("/fleet.js", include_str!("page/fleet.js")),
    script("/format.js", include_str!("page/format.js")),
    script("/order.js", include_str!("page/order.js")),
    script("/patch.js", include_str!("page/patch.js")),
    script("/row.js", include_str!("page/row.js")),
    script("/stream.js", include_str!("page/stream.js")),
    script("/theme.js", include_str!("page/theme.js")),
    script("/updates.js", include_str!("page/updates.js")),
];

const fn script(path: &'static str, content: &'static str) -> Asset {
    Asset { path, content_type: SCRIPT, content }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &str) -> Option<&'static Asset> {
        ASSETS.iter().find(|asset| asset.path == path)
    }

    #[test]
    fn what_a_script_imports_is_served() {
        let mut imported = 0;
        for asset in ASSETS.iter().filter(|asset| asset.content_type == SCRIPT) {
            for line in asset.content.lines().filter(|line| line.starts_with("import ")) {
                let (_, name) = line.trim_end_matches("\";").split_once(" from \".").unwrap();
                assert!(at(name).is_some_and(|asset| asset.content_type == SCRIPT), "{}: {line}", asset.path);
                imported += 1;
            }
        }
        assert!(imported > 0);
    }

    #[test]
    fn every_file_of_the_page_is_served_as_it_is() {
        for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/http/page")).unwrap() {
            let file = file.unwrap();
            let name = file.file_name().into_string().unwrap();
            let path = if name == "index.html" { "/".to_owned() } else { format!("/{name}") };
            let content = std::fs::read_to_string(file.path()).unwrap();
            assert_eq!(at(&path).map(|asset| asset.content), Some(content.as_str()), "{name}");
        }
    }
}
