//! `setup`: creates the collector's own schema in the repository, or upgrades it.

use std::process::ExitCode;

use super::output::{print, print_error};
use super::subcommand;
use crate::config::Location;
use crate::repository::SCHEMA_VERSION;
use session::ErrorKind;

/// Creates or upgrades the schema powa_collector in the repository.
///
/// The schema holds what PoWA has no place for: schedules and pauses, tags, tokens and the audit log of the HTTP API, and the
/// errors of servers. Nothing else needs it. The command can be repeated: it changes what is missing, in one transaction.
///
/// Its role needs the privilege CREATE on the database and, with PoWA 5, SELECT on powa_roles. Roles that collect, administer or read PoWA get the privileges that they
/// need: those that PoWA has granted its own. Only those of --collector-role may read and write tokens and the audit log.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Print the SQL and change nothing
    #[arg(long)]
    print: bool,
    /// A role that a collector connects as; can be repeated
    #[arg(long, value_name = "ROLE")]
    collector_role: Vec<String>,
}

const WITHOUT_COLLECTOR_ROLE: &str = "if the collector connects as another role, and the HTTP API is used, repeat it with \
                                      --collector-role ROLE";

const OTHER_ROLE: &str = "; to run it as another role: POWA_COLLECTOR__REPOSITORY__DSN='...' powa-collector setup \
                          --collector-role ROLE; or to execute the SQL by other means: powa-collector setup --print";

impl Arguments {
    pub(super) fn run(self, location: &Location) -> ExitCode {
        subcommand::run("setup", location, async |context| {
            let repository = &context.repository;
            if self.print {
                print(&script(&repository.plan_setup(&self.collector_role).await?))?;
                return Ok(ExitCode::SUCCESS);
            }
            let installed = repository.set_up(&self.collector_role).await.map_err(|error| {
                let hint = if error.kind() == ErrorKind::Denied { OTHER_ROLE } else { "" };
                format!("{error}{hint}")
            })?;
            print(&summary(installed))?;
            if self.collector_role.is_empty() {
                print_error!("powa-collector setup: {WITHOUT_COLLECTOR_ROLE}");
            }
            Ok(ExitCode::SUCCESS)
        })
    }
}

/// The statements as one script for psql.
fn script(statements: &[String]) -> String {
    format!("begin;\n{};\ncommit;\n", statements.join(";\n"))
}

fn summary(installed: i32) -> String {
    match installed {
        SCHEMA_VERSION => {
            format!("the schema powa_collector has version {SCHEMA_VERSION} already; privileges were granted again\n")
        }
        0 => format!("the schema powa_collector was created in version {SCHEMA_VERSION}\n"),
        older => format!("the schema powa_collector was upgraded from version {older} to {SCHEMA_VERSION}\n"),
    }
}
