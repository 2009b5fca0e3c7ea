//! Shares texts that are equal for many servers, above all PoWA's queries: those of 5.3 have about 40 kB.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

/// The texts in use. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct SharedTexts(Arc<Mutex<HashSet<Arc<str>>>>);

impl SharedTexts {
    /// A shared copy of the text.
    pub(super) fn share(&self, text: &str) -> Arc<str> {
        let mut texts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = texts.get(text) {
            return Arc::clone(shared);
        }
        // New texts are rare: they come with an update of PoWA, which makes old ones unused.
        texts.retain(|text| Arc::strong_count(text) > 1);
        let shared: Arc<str> = text.into();
        texts.insert(Arc::clone(&shared));
        shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unused_texts_are_dropped() {
        let texts = SharedTexts::default();
        let (first, same) = (texts.share("select 1"), texts.share("select 1"));
        assert!(Arc::ptr_eq(&first, &same));
        let second = texts.share("select 2");
        drop((first, same));
        let third = texts.share("select 3");
        let mut kept: Vec<_> = texts.0.lock().unwrap().iter().map(ToString::to_string).collect();
        kept.sort();
        assert_eq!(kept, [&*second, &*third]);
    }
}
