//! What libpq takes from the environment of a process: `PG...` variables, the user of the operating system,
//! directories.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use nix::unistd::{User, geteuid};

use super::{Conninfo, KEYWORDS};

/// The socket directory of Debian and most other distributions.
pub(super) const SOCKET_DIRECTORY: &str = "/var/run/postgresql";

/// Where libpq searches for `pg_service.conf`, as built by Debian and in PGDG's RPMs.
const SYSTEM_DIRECTORY: &str = "/etc/postgresql-common";
const SYSTEM_DIRECTORY_OF_RPMS: &str = "/etc/sysconfig/pgsql";

/// The keyword that redirects a host without changing its name.
pub(super) const ADDRESS: &str = "hostaddr";

/// Read once at the start and passed on; nothing else reads variables or the user database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// The values of `PG...` variables, by keyword. A variable that is set but empty is included: in libpq, it
    /// hides the
    /// default.
    pub variables: Conninfo,
    /// Why a variable cannot be used, by keyword. An error only if nothing else sets the keyword.
    pub unusable: BTreeMap<&'static str, String>,
    /// `PGSERVICEFILE`.
    pub service_file: Option<PathBuf>,
    /// `PGSYSCONFDIR` or its default.
    pub system_directory: PathBuf,
    /// The user's home directory, with `.pgpass`, `.pg_service.conf` and `.postgresql/`.
    pub home: Option<PathBuf>,
    /// The name of the operating system user.
    pub user: Option<String>,
    /// The socket directory, if it exists.
    pub socket_directory: Option<PathBuf>,
    /// The environment applies to more than one server: the service in `PGSERVICE` must not set an address.
    pub without_address: bool,
}

impl Environment {
    /// The environment of this process.
    pub fn from_process() -> Self {
        // A user entry that cannot be read is ignored: the user may be given elsewhere.
        let entry = User::from_uid(geteuid()).ok().flatten().map(|user| (user.name, user.dir));
        Self::of(|name| std::env::var_os(name), entry, Path::is_dir)
    }

    /// From a lookup of variables, the user's name and home directory in the user database, and a test for
    /// directories.
    pub fn of(
        variable: impl Fn(&str) -> Option<OsString>,
        entry: Option<(String, PathBuf)>,
        is_directory: impl Fn(&Path) -> bool,
    ) -> Self {
        let (user, home) = entry.unzip();
        let default_directory = [SYSTEM_DIRECTORY, SYSTEM_DIRECTORY_OF_RPMS]
            .into_iter()
            .find(|directory| is_directory(Path::new(directory)));
        let mut environment = Self {
            service_file: variable("PGSERVICEFILE").map(PathBuf::from),
            system_directory: variable("PGSYSCONFDIR")
                .unwrap_or_else(|| default_directory.unwrap_or(SYSTEM_DIRECTORY).into())
                .into(),
            home: variable("HOME").filter(|home| !home.is_empty()).map(PathBuf::from).or(home),
            user,
            socket_directory: Some(PathBuf::from(SOCKET_DIRECTORY)).filter(|directory| is_directory(directory)),
            ..Self::default()
        };
        for keyword in KEYWORDS {
            if let Some((name, value)) = keyword.variable.and_then(|name| Some((name, variable(name)?))) {
                environment.take(keyword.name, name, value);
            }
        }
        let requires_ssl = || variable("PGREQUIRESSL").is_some_and(|value| value.as_encoded_bytes().starts_with(b"1"));
        if variable("PGSSLMODE").is_none() && requires_ssl() {
            environment.take("sslmode", "PGREQUIRESSL", "require".into());
        }
        environment
    }

    /// The same for use with many servers, each with its own host: an address shared by all, in `PGHOSTADDR` or in
    /// the
    /// service of `PGSERVICE`, would send them all to one server.
    #[must_use]
    pub fn for_remotes(&self) -> Self {
        let mut environment = Self { without_address: true, ..self.clone() };
        environment.variables = environment.variables.without(ADDRESS);
        environment.unusable.remove(ADDRESS);
        environment
    }

    fn take(&mut self, keyword: &'static str, variable: &str, value: OsString) {
        let taken = match value.into_string() {
            Ok(value) => self.variables.set(keyword, &value).map_err(|error| error.to_string()),
            Err(_) => Err("it is not UTF-8".into()),
        };
        if let Err(reason) = taken {
            self.unusable.insert(keyword, format!("environment variable {variable}: {reason}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn of(variables: &[(&str, &[u8])]) -> Environment {
        let variables: BTreeMap<_, _> = variables.iter().copied().collect();
        let variable = |name: &str| variables.get(name).map(|value| OsString::from_vec(value.to_vec()));
        Environment::of(variable, Some(("me".into(), "/home/me".into())), |_| true)
    }

    #[test]
    fn every_variable_of_the_table_gives_its_keyword() {
        for keyword in KEYWORDS {
            let Some(variable) = keyword.variable else { continue };
            let value =
                ["x", "0", "disable", "3.0"].into_iter().find(|value| keyword.refusal(value).is_none()).unwrap();
            let environment = of(&[(variable, value.as_bytes())]);
            assert_eq!(environment.variables.iter().collect::<Vec<_>>(), [(keyword.name, value)]);
        }
    }

    #[test]
    fn a_variable_that_is_set_and_empty_is_there() {
        let environment = of(&[("PGHOST", b""), ("PGSERVICEFILE", b""), ("PGSYSCONFDIR", b"")]);
        assert_eq!(environment.variables.iter().collect::<Vec<_>>(), [("host", "")]);
        assert_eq!(environment.service_file, Some("".into()));
        assert_eq!(environment.system_directory, PathBuf::new());
    }

    #[test]
    fn the_old_variable_that_requires_ssl_is_known() {
        let mode = |variables: &[(&str, &[u8])]| of(variables).variables.get("sslmode").map(str::to_owned);
        assert_eq!(mode(&[("PGREQUIRESSL", b"1")]).as_deref(), Some("require"));
        assert_eq!(mode(&[("PGREQUIRESSL", b"0")]), None);
        assert_eq!(mode(&[("PGREQUIRESSL", b"1"), ("PGSSLMODE", b"prefer")]).as_deref(), Some("prefer"));
        assert_eq!(mode(&[("PGREQUIRESSL", b"1"), ("PGSSLMODE", b"\xff")]), None);
    }

    #[test]
    fn a_variable_that_cannot_be_used_is_told_by_name_and_not_by_value() {
        let environment = of(&[("PGPASSWORD", b"s3cret\xff"), ("PGGSSENCMODE", b"require"), ("PGPORT", b"1")]);
        assert_eq!(environment.variables.iter().collect::<Vec<_>>(), [("port", "1")]);
        assert_eq!(environment.unusable["password"], "environment variable PGPASSWORD: it is not UTF-8");
        let refused = &environment.unusable["gssencmode"];
        assert!(refused.starts_with("environment variable PGGSSENCMODE: \"gssencmode\" is not supported"), "{refused}");
        assert_eq!(environment.unusable.len(), 2);
    }

    #[test]
    fn debug_output_hides_a_password_of_the_environment() {
        let shown = format!("{:?}", of(&[("PGPASSWORD", b"s3cret")]));
        assert!(shown.contains("<hidden>") && !shown.contains("s3cret"), "{shown}");
    }

    #[test]
    fn the_home_directory_is_home_or_else_the_one_in_the_operating_systems_list() {
        assert_eq!(of(&[("HOME", b"/elsewhere")]).home, Some("/elsewhere".into()));
        assert_eq!(of(&[("HOME", b"")]).home, Some("/home/me".into()));
        assert_eq!(of(&[]).home, Some("/home/me".into()));
        assert_eq!(Environment::of(|_| None, None, |_| true).home, None);
    }

    #[test]
    fn without_variables_there_are_debians_directories() {
        let environment = of(&[]);
        assert_eq!(environment.user.as_deref(), Some("me"));
        assert_eq!(environment.system_directory, Path::new("/etc/postgresql-common"));
        assert_eq!(environment.service_file, None);
        assert_eq!(environment.socket_directory, Some("/var/run/postgresql".into()));
        assert_eq!(Environment::of(|_| None, None, |_| false).socket_directory, None);
    }

    #[test]
    fn for_remote_servers_no_address_is_left_and_all_else_is() {
        let environment = of(&[("PGHOSTADDR", b"10.0.0.1"), ("PGHOST", b"h"), ("PGSSLMODE", b"require")]);
        let for_remotes = environment.for_remotes();
        let variables: Vec<_> = for_remotes.variables.iter().collect();
        assert_eq!(variables, [("host", "h"), ("sslmode", "require")]);
        assert!(for_remotes.without_address);
        let unusable = of(&[("PGHOSTADDR", b"\xff"), ("PGOPTIONS", b"\xff")]).for_remotes().unusable;
        assert_eq!(unusable.into_keys().collect::<Vec<_>>(), ["options"]);
    }

    #[test]
    fn the_systems_directory_is_the_one_that_is_there() {
        const DEBIANS: &str = "/etc/postgresql-common";
        const RPMS: &str = "/etc/sysconfig/pgsql";
        let cases: &[(&[&str], &str)] =
            &[(&[], DEBIANS), (&[DEBIANS], DEBIANS), (&[RPMS], RPMS), (&[RPMS, DEBIANS], DEBIANS)];
        for (there, expected) in cases {
            let of = |variable: fn(&str) -> Option<OsString>| {
                Environment::of(variable, None, |directory| there.iter().any(|it| directory == Path::new(it)))
                    .system_directory
            };
            assert_eq!(of(|_| None), Path::new(expected), "{there:?}");
            assert_eq!(of(|name| (name == "PGSYSCONFDIR").then(|| "/elsewhere".into())), Path::new("/elsewhere"));
        }
    }

    #[test]
    fn this_process_has_a_user() {
        assert_eq!(Environment::from_process().user, User::from_uid(geteuid()).unwrap().map(|user| user.name));
    }
}
