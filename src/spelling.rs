//! Which name did somebody mean who wrote one that there is not? Pure.

/// How alike two names are, from 0 to 1, beyond which one may be a slip for the other.
const ALIKE: f64 = 0.85;

/// The one of `names` that looks most like `name`, if any looks like it at all.
pub fn most_alike<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    names
        .into_iter()
        .map(|known| (strsim::jaro_winkler(name, known), known))
        .filter(|(likeness, _)| *likeness > ALIKE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_told_from_what_is_something_else() {
        let nearest = |name| most_alike(name, ["sslmode", "sslcert", "sslrootcert"]);
        assert_eq!(nearest("sslmod"), Some("sslmode"));
        assert_eq!(nearest("rootcert"), Some("sslrootcert"));
        assert_eq!(nearest("nonsense"), None);
        assert_eq!(most_alike("sslmode", []), None);
    }
}
