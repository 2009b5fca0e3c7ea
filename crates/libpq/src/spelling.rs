//! Suggests the known name closest to a misspelt one. Pure.

/// The similarity, from 0 to 1, above which one name may be a misspelling of another.
const MIN_SIMILARITY: f64 = 0.85;

/// The most similar of `names`, if any is similar enough.
pub fn closest_match<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    names
        .into_iter()
        .map(|known| (strsim::jaro_winkler(name, known), known))
        .filter(|(similarity, _)| *similarity > MIN_SIMILARITY)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_word_gets_a_suggestion_and_another_word_none() {
        let nearest = |name| closest_match(name, ["sslmode", "sslcert", "sslrootcert"]);
        assert_eq!(nearest("sslmod"), Some("sslmode"));
        assert_eq!(nearest("rootcert"), Some("sslrootcert"));
        assert_eq!(nearest("nonsense"), None);
        assert_eq!(closest_match("sslmode", []), None);
    }
}
