//! Connection parameters resolved in order of precedence (given, service, environment, defaults) and validated as a
//! whole: invalid values do not get past this module.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::environment::ADDRESS;
use super::value::Values;
use super::{Conninfo, Environment, Keyword, Passfile, RequireAuth, Tls, hosts, service};
use crate::Secret;

/// How to connect to a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// At least one.
    pub hosts: Vec<Host>,
    pub user: String,
    pub dbname: String,
    pub password: Option<Secret>,
    /// Searched if no password is given.
    pub passfile: Option<Passfile>,
    /// Command-line options for the session, in the format of `options`.
    pub options: Option<String>,
    /// The time limit for each address; `None` if there is no limit.
    pub connect_timeout: Option<Duration>,
    pub tcp: Tcp,
    pub target_session_attrs: TargetSessionAttrs,
    /// Hosts and their addresses are tried in random order.
    pub load_balance: bool,
    pub tls: Tls,
    pub channel_binding: ChannelBinding,
    pub require_auth: RequireAuth,
    /// The operating system user that the server on a Unix socket must run as.
    pub requirepeer: Option<String>,
}

/// One host of a connection string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// As written: used in messages, password files and certificates. A `hostaddr` without a `host` is its own
    /// name.
    pub name: String,
    pub location: Location,
    pub port: u16,
}

/// Where a host is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// The directory of a Unix socket, or `@` and a name in the abstract namespace.
    Directory(PathBuf),
    Address(IpAddr),
    /// Resolved for each connection: the address may change.
    Name,
}

/// How a dead connection is detected. `None` means the default of the operating system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tcp {
    pub keepalives: bool,
    pub keepalives_idle: Option<Duration>,
    pub keepalives_interval: Option<Duration>,
    pub keepalives_count: Option<u32>,
    pub user_timeout: Option<Duration>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TargetSessionAttrs {
    #[default]
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
    PreferStandby,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelBinding {
    Disable,
    Prefer,
    Require,
}

/// An invalid parameter. Names the keyword; quotes the value only if it cannot be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidParameter(pub(super) String);

impl Parameters {
    /// Combines the given parameters, the service that they name, the environment and the defaults. Blocks on the
    /// service
    /// file if there is a service.
    ///
    /// # Errors
    /// A value is invalid, two values contradict each other, or the service does not exist.
    pub fn resolve(given: &Conninfo, environment: &Environment) -> Result<Self, InvalidParameter> {
        let values = gather(given, environment)?;
        let text = |keyword| values.text(keyword).map(str::to_owned);
        let no_user = || InvalidParameter("\"user\" is not given, and the user of this process has no name".into());
        let user = text("user").or_else(|| environment.user.clone()).ok_or_else(no_user)?;
        let in_home = |name| environment.home.as_ref().map(|home| home.join(name));
        let required = values.text("require_auth").unwrap_or_default();
        let sockets = environment.socket_directory.as_deref();
        let invalid_list = |reason| InvalidParameter(format!("\"require_auth\": {reason}"));
        let connect_timeout = values.integer("connect_timeout")?.and_then(|seconds| u64::try_from(seconds).ok());
        Ok(Self {
            hosts: hosts::read(values.text("host"), values.text("hostaddr"), values.text("port"), sockets)?,
            dbname: text("dbname").unwrap_or_else(|| user.clone()),
            user,
            password: text("password").map(Secret::new),
            passfile: text("passfile").map(PathBuf::from).or_else(|| in_home(".pgpass")).map(Passfile::new),
            options: text("options"),
            connect_timeout: connect_timeout.filter(|seconds| *seconds > 0).map(Duration::from_secs),
            tcp: Tcp::of(&values)?,
            target_session_attrs: TargetSessionAttrs::of(&values)?,
            load_balance: values
                .one_of("load_balance_hosts", &[("disable", false), ("random", true)])?
                .unwrap_or(false),
            tls: Tls::of(&values, environment.home.as_deref())?,
            channel_binding: ChannelBinding::of(&values)?,
            require_auth: RequireAuth::parse(required).map_err(invalid_list)?,
            requirepeer: text("requirepeer"),
        })
    }
}

/// The effective value of each parameter.
fn gather(given: &Conninfo, environment: &Environment) -> Result<Values, InvalidParameter> {
    let variables = &environment.variables;
    let service = given.iter().chain(variables.iter()).find(|(keyword, _)| *keyword == "service");
    let mut of_service = match (service, environment.unusable.get("service")) {
        (Some((_, name)), _) => service::look_up(name, environment)?,
        (None, Some(reason)) => return Err(InvalidParameter(reason.clone())),
        (None, None) => Conninfo::default(),
    };
    let is_named = given.iter().any(|(keyword, _)| keyword == "service");
    if environment.without_address && !is_named {
        of_service = of_service.without(ADDRESS);
    }
    let values = Values(given.clone().or(&of_service).or(variables));
    if let Some((_, reason)) = environment.unusable.iter().find(|(keyword, _)| values.written(keyword).is_none()) {
        return Err(InvalidParameter(reason.clone()));
    }
    // Variables may have been replaced since the values were validated.
    let refused = values.0.iter().find_map(|(keyword, value)| Keyword::named(keyword)?.refusal(value));
    refused.map_or(Ok(values), |reason| Err(InvalidParameter(reason)))
}

impl Tcp {
    fn of(values: &Values) -> Result<Self, InvalidParameter> {
        /// The most that Linux takes.
        const MOST_SECONDS: u32 = 32_767;
        const MOST_PROBES: u32 = 127;
        const MOST_MILLISECONDS: u32 = i32::MAX.cast_unsigned();

        let seconds = |keyword, default| {
            let seconds = values.positive(keyword, default, MOST_SECONDS)?;
            Ok(seconds.map(|seconds| Duration::from_secs(seconds.into())))
        };
        let user_timeout = values.positive("tcp_user_timeout", 60_000, MOST_MILLISECONDS)?;
        Ok(Self {
            keepalives: values.integer("keepalives")? != Some(0),
            keepalives_idle: seconds("keepalives_idle", 30)?,
            keepalives_interval: seconds("keepalives_interval", 10)?,
            keepalives_count: values.positive("keepalives_count", 3, MOST_PROBES)?,
            user_timeout: user_timeout.map(|milliseconds| Duration::from_millis(milliseconds.into())),
        })
    }
}

impl TargetSessionAttrs {
    fn of(values: &Values) -> Result<Self, InvalidParameter> {
        let words = [
            ("any", Self::Any),
            ("read-write", Self::ReadWrite),
            ("read-only", Self::ReadOnly),
            ("primary", Self::Primary),
            ("standby", Self::Standby),
            ("prefer-standby", Self::PreferStandby),
        ];
        Ok(values.one_of("target_session_attrs", &words)?.unwrap_or_default())
    }
}

impl ChannelBinding {
    fn of(values: &Values) -> Result<Self, InvalidParameter> {
        let words = [("disable", Self::Disable), ("prefer", Self::Prefer), ("require", Self::Require)];
        Ok(values.one_of("channel_binding", &words)?.unwrap_or(Self::Prefer))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::Method;

    fn environment() -> Environment {
        Environment {
            home: Some("/home/me".into()),
            user: Some("me".into()),
            socket_directory: Some("/var/run/postgresql".into()),
            ..Environment::default()
        }
    }

    fn resolve(given: &str) -> Result<Parameters, String> {
        Parameters::resolve(&Conninfo::parse(given).unwrap(), &environment()).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_not_given_has_a_default() {
        let parameters = resolve("").unwrap();
        let directory = "/var/run/postgresql";
        assert_eq!(
            parameters.hosts,
            [Host { name: directory.into(), location: Location::Directory(directory.into()), port: 5432 }]
        );
        assert_eq!((parameters.user.as_str(), parameters.dbname.as_str()), ("me", "me"));
        assert_eq!((parameters.password, parameters.options, parameters.requirepeer), (None, None, None));
        assert_eq!(parameters.passfile, Some(Passfile::new("/home/me/.pgpass".into())));
        assert_eq!(parameters.connect_timeout, None);
        assert_eq!(parameters.target_session_attrs, TargetSessionAttrs::Any);
        assert_eq!(parameters.channel_binding, ChannelBinding::Prefer);
        assert!(!parameters.load_balance);
        assert!(parameters.require_auth.allows(Method::None) && parameters.require_auth.allows(Method::Password));
        let tcp = Tcp {
            keepalives: true,
            keepalives_idle: Some(Duration::from_secs(30)),
            keepalives_interval: Some(Duration::from_secs(10)),
            keepalives_count: Some(3),
            user_timeout: Some(Duration::from_secs(60)),
        };
        assert_eq!(parameters.tcp, tcp);
    }

    #[test]
    fn what_is_given_is_taken() {
        let parameters = resolve(
            "host=a port=7 user=u password=p options='-c a=b' passfile=/p connect_timeout=' 1 ' keepalives=-1 \
             keepalives_idle=0 keepalives_interval=-1 keepalives_count=5 tcp_user_timeout=250 channel_binding=require \
             target_session_attrs=prefer-standby load_balance_hosts=random requirepeer=postgres require_auth=!password",
        )
        .unwrap();
        assert_eq!(parameters.hosts, [Host { name: "a".into(), location: Location::Name, port: 7 }]);
        assert_eq!((parameters.user.as_str(), parameters.dbname.as_str()), ("u", "u"));
        assert_eq!(parameters.password, Some(Secret::new("p".into())));
        assert_eq!(parameters.options.as_deref(), Some("-c a=b"));
        assert_eq!(parameters.passfile, Some(Passfile::new("/p".into())));
        assert_eq!(parameters.connect_timeout, Some(Duration::from_secs(1)));
        let tcp = Tcp {
            keepalives: true,
            keepalives_idle: None,
            keepalives_interval: None,
            keepalives_count: Some(5),
            user_timeout: Some(Duration::from_millis(250)),
        };
        assert_eq!(parameters.tcp, tcp);
        assert_eq!(parameters.channel_binding, ChannelBinding::Require);
        assert_eq!(parameters.target_session_attrs, TargetSessionAttrs::PreferStandby);
        assert!(parameters.load_balance);
        assert_eq!(parameters.requirepeer.as_deref(), Some("postgres"));
        assert!(!parameters.require_auth.allows(Method::Password) && parameters.require_auth.allows(Method::Md5));
    }

    #[test]
    fn no_time_limit_is_none() {
        for given in ["connect_timeout=0", "connect_timeout=-1"] {
            assert_eq!(resolve(given).unwrap().connect_timeout, None, "{given}");
        }
        assert_eq!(resolve("tcp_user_timeout=0").unwrap().tcp.user_timeout, None);
        assert!(!resolve("keepalives=0").unwrap().tcp.keepalives);
    }

    #[test]
    fn a_value_that_is_none_is_told_with_its_keyword_and_what_it_may_be() {
        let cases = [
            ("connect_timeout=5x", r#""connect_timeout" must be an integer"#),
            ("connect_timeout=''", r#""connect_timeout" must be an integer"#),
            ("connect_timeout=99999999999", "an integer"),
            ("keepalives=yes", r#""keepalives" must be an integer"#),
            ("keepalives_idle=32768", r#""keepalives_idle" must be an integer up to 32767"#),
            ("keepalives_interval=1.5", r#""keepalives_interval" must be"#),
            ("keepalives_count=128", "up to 127"),
            ("tcp_user_timeout=1s", r#""tcp_user_timeout" must be"#),
            ("target_session_attrs=master", "one of any, read-write, read-only, primary, standby, prefer-standby"),
            ("target_session_attrs=''", r#""target_session_attrs" must be"#),
            ("load_balance_hosts=1", "one of disable, random"),
            ("channel_binding=on", "one of disable, prefer, require"),
            ("require_auth=md6", r#""require_auth": it contains an unknown method"#),
            ("sslmode=x", r#""sslmode" must be"#),
            ("port=0", r#""port" must be"#),
            ("user='' sslnegotiation=direct", r#""sslnegotiation=direct" needs"#),
        ];
        for (given, expected) in cases {
            let error = resolve(given).unwrap_err();
            assert!(error.contains(expected), "{given}: {error}");
        }
        let long = format!("sslmode={}", "x".repeat(1000));
        assert!(resolve(&long).unwrap_err().len() < 200);
    }

    #[test]
    fn a_missing_user_is_an_error() {
        let nobody = Environment { user: None, home: None, ..environment() };
        let error = Parameters::resolve(&Conninfo::default(), &nobody).unwrap_err();
        assert!(error.to_string().starts_with("\"user\" is not given"), "{error}");
        let parameters = Parameters::resolve(&Conninfo::parse("user=u").unwrap(), &nobody).unwrap();
        assert_eq!((parameters.user.as_str(), parameters.passfile), ("u", None));
    }

    #[test]
    fn what_is_given_comes_before_the_service_and_that_before_variables_and_these_before_defaults() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("services");
        fs::write(&file, "[a]\nhost=of-service\nport=2\noptions=\n[b]\nhost=of-b\nservice=a\n").unwrap();
        let variables = "host=of-variable port=3 dbname=of-variable options=of-variable password=p service=b";
        let around =
            Environment { variables: Conninfo::parse(variables).unwrap(), service_file: Some(file), ..environment() };
        let resolve = |given: &str| {
            let resolved = Parameters::resolve(&Conninfo::parse(given).unwrap(), &around)?;
            let Host { name, port, .. } = &resolved.hosts[0];
            let options = resolved.options.as_deref().unwrap_or("-");
            Ok::<_, InvalidParameter>(format!("{name} {port} {} {} {options}", resolved.dbname, resolved.user))
        };
        assert_eq!(resolve("service=a").unwrap(), "of-service 2 of-variable me -");
        assert_eq!(resolve("service=a host=given port=''").unwrap(), "given 5432 of-variable me -");
        assert_eq!(resolve("service=a host=''").unwrap(), "/var/run/postgresql 2 of-variable me -");
        assert_eq!(resolve("service=a dbname='' user=u options=o").unwrap(), "of-service 2 u u o");
        assert!(resolve("").unwrap_err().to_string().contains("a service cannot refer to another service"));
        assert!(resolve("service=c").unwrap_err().to_string().starts_with("service \"c\" is not in"));
        assert!(resolve("service=''").unwrap_err().to_string().starts_with("service \"\" is not in"));
    }

    #[test]
    fn the_environment_redirects_no_remote_server_and_a_service_that_is_named_for_it_does() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("services");
        fs::write(&file, "[all]\nhostaddr=10.0.0.1\noptions=of-all\n[one]\nhostaddr=10.0.0.2\n").unwrap();
        let around = |variables: &str| {
            let variables = Conninfo::parse(variables).unwrap();
            Environment { variables, service_file: Some(file.clone()), ..environment() }
        };
        let resolve = |given: &str, around: &Environment| {
            let mut resolved = Parameters::resolve(&Conninfo::parse(given).unwrap(), around).unwrap();
            (resolved.hosts.remove(0).location, resolved.options)
        };
        let at = |last| Location::Address([10, 0, 0, last].into());
        let of_all = Some("of-all".to_owned());

        let with_service = around("service=all");
        assert_eq!(resolve("host=a", &with_service), (at(1), of_all.clone()));
        assert_eq!(resolve("host=a", &with_service.for_remotes()), (Location::Name, of_all));
        assert_eq!(resolve("host=a service=one", &with_service.for_remotes()), (at(2), None));
        let with_address = around("hostaddr=10.0.0.3");
        assert_eq!(resolve("host=a", &with_address), (at(3), None));
        assert_eq!(resolve("host=a", &with_address.for_remotes()), (Location::Name, None));
        assert_eq!(resolve("host=a hostaddr=10.0.0.4", &with_address.for_remotes()), (at(4), None));
    }

    #[test]
    fn a_variable_that_cannot_be_used_matters_if_nothing_else_gives_its_keyword() {
        let reason = "environment variable PGHOST: it is not UTF-8".to_owned();
        let around = Environment { unusable: [("host", reason.clone())].into(), ..environment() };
        let error = Parameters::resolve(&Conninfo::default(), &around).unwrap_err();
        assert_eq!(error, InvalidParameter(reason.clone()));
        assert!(Parameters::resolve(&Conninfo::parse("host=a").unwrap(), &around).is_ok());
        let around = Environment { unusable: [("service", reason.clone())].into(), ..environment() };
        assert_eq!(Parameters::resolve(&Conninfo::default(), &around), Err(InvalidParameter(reason)));
    }

    #[test]
    fn unsupported_values_are_refused_wherever_they_come_from() {
        let harmless = Conninfo::parse("gssencmode=prefer").unwrap();
        let changed = harmless.try_map(|_| Ok::<_, ()>("require".into())).unwrap();
        let error = Parameters::resolve(&changed, &environment()).unwrap_err();
        assert!(error.to_string().starts_with("\"gssencmode\" is not supported"), "{error}");
    }

    #[test]
    fn debug_output_hides_secrets() {
        let shown = format!("{:?}", resolve("password=s3cret sslpassword=s3cret").unwrap());
        assert!(shown.matches("<hidden>").count() == 2 && !shown.contains("s3cret"), "{shown}");
    }
}
