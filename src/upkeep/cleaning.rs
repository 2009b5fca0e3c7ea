//! Deletes left-over rows, and logs each problem once.

use std::collections::BTreeMap;

use crate::repository::{LeftoverRows, Repository, WhyUnread};
use session::on_one_line;

use super::log;

/// Deletes left-over rows, and remembers the problems of the last round.
#[derive(Default)]
pub(super) struct LeftoverCleanup {
    problems: BTreeMap<String, String>,
    /// The error of the last query for left-over rows.
    listing_error: Option<String>,
}

impl LeftoverCleanup {
    /// Checks all `*_src_tmp` tables and deletes their left-over rows.
    pub(super) async fn clean(&mut self, repository: &Repository) {
        let leftovers = match repository.leftover_rows().await {
            Ok(leftovers) => leftovers,
            Err(error) => {
                let reason = error.to_string();
                // Workers and the command channel report that the repository is unreachable.
                let is_new = !error.is_connection() && self.listing_error.as_ref() != Some(&reason);
                log(&reason, is_new);
                self.listing_error = Some(reason);
                return;
            }
        };
        self.listing_error = None;
        let mut problems = BTreeMap::new();
        for unread in leftovers.unread {
            match unread.why {
                WhyUnread::Forbidden(grant) => {
                    let problem = format!(
                        "could not check {} for left-over rows: this role may not read it; run: {grant}",
                        unread.table
                    );
                    problems.insert(unread.table, problem);
                }
                WhyUnread::Failed(error) => {
                    let problem = format!("could not check {} for left-over rows: {error}", unread.table);
                    problems.insert(unread.table, problem);
                }
                // Retried in the next round.
                WhyUnread::Busy(error) => tracing::debug!("{}: {error}", on_one_line(&unread.table)),
            }
        }
        for leftover in leftovers.rows {
            if let Some(problem) = delete(repository, &leftover).await {
                problems.insert(leftover.table, problem);
            }
        }
        for (problem, is_new) in self.replace(problems) {
            log(&on_one_line(&problem), is_new);
        }
    }

    /// Replaces the problems of the last round. Returns the current ones, each with whether it is new.
    fn replace(&mut self, problems: BTreeMap<String, String>) -> Vec<(String, bool)> {
        let before = std::mem::replace(&mut self.problems, problems);
        let is_new = |table: &String, problem: &String| before.get(table) != Some(problem);
        self.problems.iter().map(|(table, problem)| (problem.clone(), is_new(table, problem))).collect()
    }
}

/// Deletes the rows of one server in one table. Returns the problem, if there is one.
async fn delete(repository: &Repository, leftover: &LeftoverRows) -> Option<String> {
    let table = &leftover.table;
    if let Some(grant) = &leftover.missing_grant {
        return Some(format!("{table} has left-over rows, but this role may not delete them; run: {grant}"));
    }
    match repository.delete_leftover_rows(leftover).await {
        Ok(0) => {
            tracing::debug!("{} has left-over rows that another session has locked", on_one_line(table));
            None
        }
        Ok(number) => {
            let line = format!("deleted {number} left-over rows of {} from {table}", leftover.owner());
            tracing::info!("{}", on_one_line(&line));
            None
        }
        Err(error) if error.is_connection() => None,
        Err(error) => Some(format!("{table} has left-over rows that could not be deleted: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_the_way_is_said_once_until_it_changes() {
        let mut cleanup = LeftoverCleanup::default();
        let mut new_problems = |tables: &[(&str, &str)]| -> Vec<String> {
            let problems = tables.iter().map(|(table, why)| ((*table).into(), (*why).into())).collect();
            cleanup.replace(problems).into_iter().filter_map(|(problem, is_new)| is_new.then_some(problem)).collect()
        };
        assert_eq!(new_problems(&[("a", "locked"), ("b", "forbidden")]), ["locked", "forbidden"]);
        assert_eq!(new_problems(&[("a", "locked"), ("b", "gone")]), ["gone"]);
        assert_eq!(new_problems(&[("b", "gone")]), [""; 0]);
        assert_eq!(new_problems(&[("a", "locked"), ("b", "gone")]), ["locked"]);
    }
}
