//! The parameters that begin with `ssl`, and their defaults. No file is read. Pure.

use std::path::{Path, PathBuf};

use super::InvalidParameter;
use super::value::{Values, not_one_of};
use crate::Secret;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    pub mode: SslMode,
    pub negotiation: SslNegotiation,
    pub root_certificates: RootCertificates,
    pub certificate: ClientFile,
    pub key: ClientFile,
    pub certificate_mode: SslCertMode,
    pub password: Option<Secret>,
    pub crl: ClientFile,
    pub crl_directory: Option<PathBuf>,
    pub sni: bool,
    pub min_version: Option<ProtocolVersion>,
    pub max_version: Option<ProtocolVersion>,
}

/// A file of the client. A default file is optional; whether a named one may be missing depends on its purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientFile {
    Named(PathBuf),
    Default(PathBuf),
    /// There is no home directory.
    Nowhere,
}

/// Which authorities a server certificate must be issued by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootCertificates {
    File(ClientFile),
    /// Those of the operating system, with `sslrootcert=system`.
    System,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SslMode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SslNegotiation {
    Postgres,
    Direct,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SslCertMode {
    Disable,
    Allow,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProtocolVersion {
    Tls1_0,
    Tls1_1,
    Tls1_2,
    Tls1_3,
}

const SSL_MODES: &[(&str, SslMode)] = &[
    ("disable", SslMode::Disable),
    ("allow", SslMode::Allow),
    ("prefer", SslMode::Prefer),
    ("require", SslMode::Require),
    ("verify-ca", SslMode::VerifyCa),
    ("verify-full", SslMode::VerifyFull),
];

const PROTOCOL_VERSIONS: &[(&str, ProtocolVersion)] = &[
    ("TLSv1", ProtocolVersion::Tls1_0),
    ("TLSv1.1", ProtocolVersion::Tls1_1),
    ("TLSv1.2", ProtocolVersion::Tls1_2),
    ("TLSv1.3", ProtocolVersion::Tls1_3),
];

impl Tls {
    pub(super) fn of(values: &Values, home: Option<&Path>) -> Result<Self, InvalidParameter> {
        let file = |keyword, default| match (values.text(keyword), home) {
            (Some(file), _) => ClientFile::Named(file.into()),
            (None, Some(home)) => ClientFile::Default(home.join(".postgresql").join(default)),
            (None, None) => ClientFile::Nowhere,
        };
        let root_certificates = match values.text("sslrootcert") {
            Some("system") => RootCertificates::System,
            _ => RootCertificates::File(file("sslrootcert", "root.crt")),
        };
        let crl_directory = values.text("sslcrldir").map(PathBuf::from);
        let crl = match (values.text("sslcrl"), &crl_directory) {
            // With a directory of CRLs, libpq does not read the default file.
            (None, Some(_)) => ClientFile::Nowhere,
            _ => file("sslcrl", "root.crl"),
        };
        let negotiations = [("postgres", SslNegotiation::Postgres), ("direct", SslNegotiation::Direct)];
        let certificate_modes = [("disable", SslCertMode::Disable), ("allow", SslCertMode::Allow)];
        let tls = Self {
            mode: mode(values, &root_certificates)?,
            negotiation: values.one_of("sslnegotiation", &negotiations)?.unwrap_or(SslNegotiation::Postgres),
            root_certificates,
            certificate: file("sslcert", "postgresql.crt"),
            key: file("sslkey", "postgresql.key"),
            certificate_mode: values.one_of("sslcertmode", &certificate_modes)?.unwrap_or(SslCertMode::Allow),
            password: values.text("sslpassword").map(|password| Secret::new(password.into())),
            crl,
            crl_directory,
            sni: values.one_of("sslsni", &[("0", false), ("1", true)])?.unwrap_or(true),
            min_version: protocol_version(values, "ssl_min_protocol_version", Some(ProtocolVersion::Tls1_2))?,
            max_version: protocol_version(values, "ssl_max_protocol_version", None)?,
        };
        tls.check()?;
        Ok(tls)
    }

    /// Refuses combinations of parameters that contradict each other.
    fn check(&self) -> Result<(), InvalidParameter> {
        let reason = match (&self.root_certificates, self.negotiation, self.mode) {
            (RootCertificates::System, _, mode) if mode != SslMode::VerifyFull => {
                "\"sslrootcert=system\" needs \"sslmode=verify-full\": anybody can get a certificate from a public \
                 authority"
            }
            (_, SslNegotiation::Direct, SslMode::Disable | SslMode::Allow | SslMode::Prefer) => {
                "\"sslnegotiation=direct\" needs \"sslmode\" to be one of require, verify-ca, verify-full"
            }
            _ if self.max_version.is_some_and(|most| self.min_version.is_some_and(|least| least > most)) => {
                "\"ssl_min_protocol_version\", which is TLSv1.2 if not given, is above \"ssl_max_protocol_version\""
            }
            _ => return Ok(()),
        };
        Err(InvalidParameter(reason.into()))
    }
}

fn mode(values: &Values, root_certificates: &RootCertificates) -> Result<SslMode, InvalidParameter> {
    let default = match root_certificates {
        RootCertificates::System => SslMode::VerifyFull,
        RootCertificates::File(_) => SslMode::Prefer,
    };
    Ok(values.one_of("sslmode", SSL_MODES)?.unwrap_or(default))
}

/// A protocol version, in any case. An empty value sets no bound, not even the default one.
fn protocol_version(
    values: &Values,
    keyword: &str,
    default: Option<ProtocolVersion>,
) -> Result<Option<ProtocolVersion>, InvalidParameter> {
    let written = match values.written(keyword) {
        None => return Ok(default),
        Some("") => return Ok(None),
        Some(written) => written,
    };
    let version = PROTOCOL_VERSIONS.iter().find(|(name, _)| name.eq_ignore_ascii_case(written));
    version.map(|(_, version)| Some(*version)).ok_or_else(|| not_one_of(keyword, PROTOCOL_VERSIONS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Conninfo;

    fn tls(given: &str) -> Result<Tls, String> {
        let values = Values(Conninfo::parse(given).unwrap());
        Tls::of(&values, Some(Path::new("/home/me"))).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_not_given_is_as_libpq_has_it() {
        let in_home = |name: &str| ClientFile::Default(Path::new("/home/me/.postgresql").join(name));
        let expected = Tls {
            mode: SslMode::Prefer,
            negotiation: SslNegotiation::Postgres,
            root_certificates: RootCertificates::File(in_home("root.crt")),
            certificate: in_home("postgresql.crt"),
            key: in_home("postgresql.key"),
            certificate_mode: SslCertMode::Allow,
            password: None,
            crl: in_home("root.crl"),
            crl_directory: None,
            sni: true,
            min_version: Some(ProtocolVersion::Tls1_2),
            max_version: None,
        };
        assert_eq!(tls(""), Ok(expected.clone()));
        assert_eq!(tls("sslrootcert='' sslcert='' sslkey='' sslcrl='' sslcrldir='' sslpassword=''"), Ok(expected));
        let homeless = Tls::of(&Values(Conninfo::default()), None).unwrap();
        assert_eq!(homeless.root_certificates, RootCertificates::File(ClientFile::Nowhere));
        let files = [homeless.certificate, homeless.key, homeless.crl];
        assert_eq!(files, [ClientFile::Nowhere, ClientFile::Nowhere, ClientFile::Nowhere]);
    }

    #[test]
    fn what_is_given_is_taken() {
        let given = "sslmode=verify-ca sslnegotiation=direct sslrootcert=/r sslcert=/c sslkey=/k sslpassword=p sslcrl=/l \
            sslcrldir=/d sslcertmode=disable sslsni=0 ssl_min_protocol_version=tlsv1 ssl_max_protocol_version=TLSv1.3";
        let named = |file: &str| ClientFile::Named(file.into());
        let expected = Tls {
            mode: SslMode::VerifyCa,
            negotiation: SslNegotiation::Direct,
            root_certificates: RootCertificates::File(named("/r")),
            certificate: named("/c"),
            key: named("/k"),
            certificate_mode: SslCertMode::Disable,
            password: Some(Secret::new("p".into())),
            crl: named("/l"),
            crl_directory: Some("/d".into()),
            sni: false,
            min_version: Some(ProtocolVersion::Tls1_0),
            max_version: Some(ProtocolVersion::Tls1_3),
        };
        assert_eq!(tls(given), Ok(expected));
    }

    #[test]
    fn each_mode_has_a_name() {
        let cases = [
            ("disable", SslMode::Disable),
            ("allow", SslMode::Allow),
            ("prefer", SslMode::Prefer),
            ("require", SslMode::Require),
            ("verify-ca", SslMode::VerifyCa),
            ("verify-full", SslMode::VerifyFull),
        ];
        for (word, expected) in cases {
            assert_eq!(tls(&format!("sslmode={word}")).unwrap().mode, expected);
        }
    }

    #[test]
    fn the_systems_certificates_are_for_full_verification() {
        let system = tls("sslrootcert=system").unwrap();
        assert_eq!((system.mode, system.root_certificates), (SslMode::VerifyFull, RootCertificates::System));
        for weak in ["disable", "allow", "prefer", "require", "verify-ca"] {
            let error = tls(&format!("sslrootcert=system sslmode={weak}")).unwrap_err();
            assert!(error.starts_with("\"sslrootcert=system\" needs \"sslmode=verify-full\""), "{error}");
        }
        assert!(tls("sslrootcert=system sslmode=verify-full sslnegotiation=direct").is_ok());
    }

    #[test]
    fn direct_negotiation_excludes_plain_connections() {
        for (mode, is_allowed) in [
            ("disable", false),
            ("allow", false),
            ("prefer", false),
            ("require", true),
            ("verify-ca", true),
            ("verify-full", true),
        ] {
            assert_eq!(tls(&format!("sslnegotiation=direct sslmode={mode}")).is_ok(), is_allowed, "{mode}");
        }
        assert!(tls("sslnegotiation=direct").unwrap_err().contains("require, verify-ca, verify-full"));
    }

    #[test]
    fn versions_are_bounds() {
        let least_and_most = |given: &str| tls(given).map(|tls| (tls.min_version, tls.max_version));
        use ProtocolVersion::{Tls1_1, Tls1_2, Tls1_3};
        let cases = [
            ("ssl_max_protocol_version=TLSv1.2", (Some(Tls1_2), Some(Tls1_2))),
            ("ssl_min_protocol_version=TLSv1.3", (Some(Tls1_3), None)),
            ("ssl_min_protocol_version='' ssl_max_protocol_version=TLSv1.1", (None, Some(Tls1_1))),
            ("ssl_min_protocol_version=TLSv1.3 ssl_max_protocol_version=''", (Some(Tls1_3), None)),
        ];
        for (given, expected) in cases {
            assert_eq!(least_and_most(given), Ok(expected), "{given}");
        }
        for contradiction in
            ["ssl_max_protocol_version=TLSv1.1", "ssl_min_protocol_version=TLSv1.3 ssl_max_protocol_version=TLSv1.2"]
        {
            assert!(least_and_most(contradiction).unwrap_err().contains("is above"), "{contradiction}");
        }
    }

    #[test]
    fn a_directory_of_crls_takes_the_place_of_the_default_file() {
        let crl = |given: &str| tls(given).unwrap().crl;
        assert_eq!(crl("sslcrldir=/d"), ClientFile::Nowhere);
        assert_eq!(crl("sslcrldir=/d sslcrl=/l"), ClientFile::Named("/l".into()));
    }

    #[test]
    fn an_unknown_word_is_an_error_that_lists_the_known_ones() {
        let cases = [
            ("sslmode=x", r#""sslmode" must be one of disable, allow, prefer, require, verify-ca, verify-full"#),
            ("sslmode=''", r#""sslmode" must be one of disable, allow, "#),
            ("sslmode=Require", r#""sslmode" must be one of disable"#),
            ("sslnegotiation=requiredirect", r#"must be one of postgres, direct"#),
            ("sslnegotiation=''", r#""sslnegotiation" must be"#),
            ("sslcertmode=x", r#"must be one of disable, allow"#),
            ("sslcertmode=''", r#""sslcertmode" must be"#),
            ("sslsni=2", r#""sslsni" must be one of 0, 1"#),
            ("ssl_min_protocol_version=SSLv3", r#"must be one of TLSv1, TLSv1.1, TLSv1.2, TLSv1.3"#),
            ("ssl_max_protocol_version=TLSv9", r#""ssl_max_protocol_version" must be"#),
        ];
        for (given, expected) in cases {
            let error = tls(given).unwrap_err();
            assert!(error.contains(expected), "{given}: {error}");
        }
    }
}
