//! Tags of servers: how they are changed and selected, and what that needs in the repository.

use std::collections::BTreeSet;
use std::str::FromStr;

use super::Error;
use super::own_tables::require_change;
use crate::repository::{OwnTable, RegisteredServer, Repository};
use crate::server::tags::{self, InvalidTag, Tags};

/// One change of a tag: `KEY=VALUE`, or `KEY-` to remove it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TagChange {
    Set(String, String),
    Remove(String),
}

/// A condition for servers: a tag that has this value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TagFilter {
    key: String,
    value: String,
}

/// A text that is not a change or a condition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidTagText {
    #[error("a change must be KEY=VALUE, or KEY- to remove the tag")]
    Change,
    #[error("it must be KEY{0}VALUE")]
    Filter(char),
    #[error(transparent)]
    Tag(#[from] InvalidTag),
}

/// The same key is changed twice.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the tag {0} is changed twice")]
pub(crate) struct ChangedTwice(String);

impl FromStr for TagChange {
    type Err = InvalidTagText;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let change = match (text.split_once('='), text.strip_suffix('-')) {
            (Some((key, value)), _) => Self::Set(key.into(), value.into()),
            (None, Some(key)) => Self::Remove(key.into()),
            (None, None) => return Err(InvalidTagText::Change),
        };
        match &change {
            Self::Set(key, value) => tags::check_key(key).and_then(|()| tags::check_value(value))?,
            Self::Remove(key) => tags::check_key(key)?,
        }
        Ok(change)
    }
}

impl TagFilter {
    /// A key and a value with this character in between.
    pub(crate) fn parse(text: &str, separator: char) -> Result<Self, InvalidTagText> {
        let (key, value) = text.split_once(separator).ok_or(InvalidTagText::Filter(separator))?;
        tags::check_key(key).and_then(|()| tags::check_value(value))?;
        Ok(Self { key: key.into(), value: value.into() })
    }

    /// Whether a server has all of the tags.
    pub(crate) fn all_match(filters: &[Self], server: &RegisteredServer) -> bool {
        filters.iter().all(|filter| server.tags.get(&filter.key) == Some(&filter.value))
    }
}

/// `KEY=VALUE`, as on the command line.
impl FromStr for TagFilter {
    type Err = InvalidTagText;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text, '=')
    }
}

/// The tags to set and the keys to remove.
///
/// # Errors
/// A key is changed twice.
pub(crate) fn parse_changes(changes: &[TagChange]) -> Result<(Tags, BTreeSet<String>), ChangedTwice> {
    let (mut set, mut removed) = (Tags::new(), BTreeSet::new());
    for change in changes {
        let (TagChange::Set(key, _) | TagChange::Remove(key)) = change;
        if set.contains_key(key) || removed.contains(key) {
            return Err(ChangedTwice(key.clone()));
        }
        match change {
            TagChange::Set(key, value) => drop(set.insert(key.clone(), value.clone())),
            TagChange::Remove(key) => drop(removed.insert(key.clone())),
        }
    }
    Ok((set, removed))
}

/// Sets and removes tags of a server. The others stay.
pub(crate) async fn change_tags(
    repository: &Repository,
    server: &RegisteredServer,
    set: &Tags,
    removed: &BTreeSet<String>,
) -> Result<(), Error> {
    let mut wanted = Tags::clone(&server.tags);
    wanted.retain(|key, _| !removed.contains(key));
    for (key, value) in set {
        tags::insert(&mut wanted, key.clone(), value.clone())?;
    }
    require_change(repository, OwnTable::Tags).await?;
    Ok(repository.change_tags(server.id, set, removed).await?)
}

/// Checks all tags of a server.
pub(crate) fn check_tags(wanted: &Tags) -> Result<(), InvalidTag> {
    let mut valid = Tags::new();
    wanted.iter().try_for_each(|(key, value)| tags::insert(&mut valid, key.clone(), value.clone()))
}

/// Replaces all tags of a server.
pub(crate) async fn replace_tags(
    repository: &Repository,
    server: &RegisteredServer,
    wanted: &Tags,
) -> Result<(), Error> {
    check_tags(wanted)?;
    require_change(repository, OwnTable::Tags).await?;
    Ok(repository.replace_tags(server.id, wanted).await?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_change_sets_or_removes() {
        let set = |key: &str, value: &str| Ok(TagChange::Set(key.into(), value.into()));
        assert_eq!("a=b".parse(), set("a", "b"));
        assert_eq!("a=b=c-".parse(), set("a", "b=c-"));
        assert_eq!("a-".parse(), Ok(TagChange::Remove("a".into())));
        for (text, error) in [
            ("a", InvalidTagText::Change),
            ("", InvalidTagText::Change),
            ("a:b", InvalidTagText::Change),
            ("-", InvalidTag::Key.into()),
            ("A=b", InvalidTag::Key.into()),
            ("a=", InvalidTag::ValueLength.into()),
            ("a=\t", InvalidTag::ControlCharacter.into()),
        ] {
            assert_eq!(text.parse::<TagChange>(), Err(error), "{text}");
        }
    }

    #[test]
    fn a_key_is_changed_once() {
        let parsed =
            |texts: &[&str]| parse_changes(&texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<TagChange>>());
        let (set, removed) = parsed(&["a=1", "b-"]).unwrap();
        assert!(set.contains_key("a") && removed.contains("b"));
        for twice in [["a=1", "a=1"], ["a=1", "a-"], ["a-", "a-"]] {
            assert_eq!(parsed(&twice), Err(ChangedTwice("a".into())));
        }
    }

    #[test]
    fn a_server_matches_if_it_has_all_tags() {
        let mut server = RegisteredServer::example(1);
        server.tags = Arc::new(Tags::from([("a".into(), "1:2".into()), ("b".into(), "2".into())]));
        let matches = |texts: &[&str]| {
            let filters: Vec<_> = texts.iter().map(|text| TagFilter::parse(text, ':').unwrap()).collect();
            TagFilter::all_match(&filters, &server)
        };
        assert!(matches(&[]) && matches(&["a:1:2"]) && matches(&["a:1:2", "b:2"]));
        assert!(!matches(&["a:1"]) && !matches(&["a:1:2", "c:2"]) && !matches(&["a:1:2", "a:1"]));
        assert_eq!(TagFilter::parse("a", ':'), Err(InvalidTagText::Filter(':')));
    }
}
