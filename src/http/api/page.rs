//! Lists in pages.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::problem::Problem;

const DEFAULT_LIMIT: u16 = 100;
const MAX_LIMIT: u16 = 1000;

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    /// The value of `after` for the next page; null on the last one.
    pub(super) next_after: Option<String>,
}

/// Which page of a list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PageParameters {
    /// Items on a page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u16>,
    /// `next_after` of the page before.
    #[param(pattern = "^[0-9]{0,18}$")]
    after: Option<String>,
}

/// Which page of a list that is ordered by names.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct NamedPageParameters {
    /// Items on a page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u16>,
    /// `next_after` of the page before.
    after: Option<String>,
}

impl NamedPageParameters {
    pub(super) fn limit(&self) -> Result<usize, Problem> {
        check_limit(self.limit)
    }

    pub(super) fn after(&self) -> &str {
        self.after.as_deref().unwrap_or_default()
    }
}

impl PageParameters {
    pub(super) fn limit(&self) -> Result<usize, Problem> {
        check_limit(self.limit)
    }

    /// The position, which is a number in these lists.
    pub(super) fn after_number(&self) -> Result<Option<i64>, Problem> {
        number(self.after.as_deref())
    }
}

/// The number of items on a page.
pub(super) fn check_limit(limit: Option<u16>) -> Result<usize, Problem> {
    match limit.unwrap_or(DEFAULT_LIMIT) {
        limit @ 1..=MAX_LIMIT => Ok(limit.into()),
        _ => Err(Problem::bad_request(format!("\"limit\" must be an integer from 1 to {MAX_LIMIT}"))),
    }
}

/// A position in a list that is ordered by numbers. An empty one is the beginning.
pub(super) fn number(after: Option<&str>) -> Result<Option<i64>, Problem> {
    let invalid = || Problem::bad_request("\"after\" must be \"next_after\" of the page before");
    after.filter(|after| !after.is_empty()).map(|after| after.parse().map_err(|_| invalid())).transpose()
}

impl<T> Page<T> {
    /// A page of a list from which one more item than `limit` was read, if there are so many.
    pub(super) fn of(mut items: Vec<T>, limit: usize, position: impl Fn(&T) -> String) -> Self {
        let has_more = items.len() > limit;
        items.truncate(limit);
        let next_after = items.last().filter(|_| has_more).map(position);
        Self { items, next_after }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_page_has_no_next_one() {
        let page = |number: i32| Page::of((1..=number).collect(), 3, ToString::to_string);
        assert_eq!((page(4).items, page(4).next_after), (vec![1, 2, 3], Some("3".into())));
        assert_eq!((page(3).items, page(3).next_after), (vec![1, 2, 3], None));
        assert_eq!((page(0).items.len(), page(0).next_after), (0, None));
    }

    #[test]
    fn a_page_has_one_to_a_thousand_items() {
        assert_eq!([None, Some(1), Some(1000)].map(|limit| check_limit(limit).unwrap()), [100, 1, 1000]);
        assert!([0, 1001].iter().all(|limit| check_limit(Some(*limit)).is_err()));
        assert_eq!(number(Some("7")).unwrap(), Some(7));
        assert_eq!([number(None), number(Some(""))].map(|none| none.unwrap()), [None, None]);
        assert!(number(Some("x")).is_err());
    }
}
