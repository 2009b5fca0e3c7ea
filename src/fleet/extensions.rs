//! Which changes of a server's extensions make sense. Which names exist is known to PoWA in the repository only.

use session::on_one_line;

/// PoWA always activates it for a new server. Without it there are no statements to show, nor names of databases.
pub(crate) const PG_STAT_STATEMENTS: &str = "pg_stat_statements";

/// A name is to be activated and deactivated at once.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{}\" cannot be both activated and deactivated", on_one_line(.0))]
pub(crate) struct Contradiction(String);

/// Checks that no name is in both lists.
pub(crate) fn check_extension_changes(activate: &[String], deactivate: &[String]) -> Result<(), Contradiction> {
    match activate.iter().find(|name| deactivate.contains(name)) {
        Some(name) => Err(Contradiction(name.clone())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_in_one_list_only() {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(check_extension_changes(&names(&["a"]), &names(&["b"])), Ok(()));
        let error = check_extension_changes(&names(&["a", "b"]), &names(&["b"])).unwrap_err();
        assert_eq!(error.to_string(), "\"b\" cannot be both activated and deactivated");
    }
}
