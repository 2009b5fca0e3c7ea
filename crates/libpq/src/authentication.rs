//! Authentication methods, and which of them `require_auth` allows. Pure.

use std::fmt;

/// How a server authenticates the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// No authentication request: the server trusts the address or has verified a client certificate.
    None,
    /// The password in clear text.
    Password,
    Md5,
    Gss,
    Sspi,
    ScramSha256,
}

/// The methods that `require_auth` allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequireAuth(Vec<Method>);

impl Method {
    const ALL: [Self; 6] = [Self::None, Self::Password, Self::Md5, Self::Gss, Self::Sspi, Self::ScramSha256];

    fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Password => "password",
            Self::Md5 => "md5",
            Self::Gss => "gss",
            Self::Sspi => "sspi",
            Self::ScramSha256 => "scram-sha-256",
        }
    }
}

impl RequireAuth {
    /// Parses a list of methods, either all prefixed with `!` or none. An empty list allows all.
    ///
    /// # Errors
    /// A description of the first error in the list.
    pub fn parse(list: &str) -> Result<Self, String> {
        /// libpq accepts this name; the method is not implemented here.
        const OAUTH: &str = "oauth";

        if list.is_empty() {
            return Ok(Self(Method::ALL.into()));
        }
        let is_negative = list.starts_with('!');
        let mut named = Vec::new();
        for item in list.split(',') {
            let name = item.strip_prefix('!').unwrap_or(item);
            if name != OAUTH && !Method::ALL.iter().any(|method| method.name() == name) {
                let known = Method::ALL.map(Method::name).join(", ");
                return Err(format!("it contains an unknown method; the methods are {known}, {OAUTH}"));
            }
            if item.starts_with('!') != is_negative {
                return Err("either all of its methods or none must be prefixed with \"!\"".into());
            }
            if named.contains(&name) {
                return Err(format!("{name} is listed more than once"));
            }
            named.push(name);
        }
        let is_allowed = |method: &Method| named.contains(&method.name()) != is_negative;
        Ok(Self(Method::ALL.into_iter().filter(is_allowed).collect()))
    }

    pub fn allows(&self, method: Method) -> bool {
        self.0.contains(&method)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_allows_what_it_names_and_a_negative_one_all_else() {
        let cases = [
            ("", "none password md5 gss sspi scram-sha-256"),
            ("md5", "md5"),
            ("scram-sha-256,none", "none scram-sha-256"),
            ("!none", "password md5 gss sspi scram-sha-256"),
            ("!password,!md5", "none gss sspi scram-sha-256"),
            ("oauth", ""),
            ("!oauth", "none password md5 gss sspi scram-sha-256"),
            ("gss,sspi", "gss sspi"),
        ];
        for (list, expected) in cases {
            let required = RequireAuth::parse(list).unwrap();
            let allowed = Method::ALL.into_iter().filter(|method| required.allows(*method));
            assert_eq!(allowed.map(|method| method.to_string()).collect::<Vec<_>>().join(" "), expected, "{list}");
        }
    }

    #[test]
    fn a_list_that_libpq_refuses_is_refused() {
        let cases = [
            ("foo", "unknown method"),
            ("md5,", "unknown method"),
            (",", "unknown method"),
            ("md5, password", "unknown method"),
            ("MD5", "unknown method"),
            ("!", "unknown method"),
            ("!md5,password", "all of its methods"),
            ("md5,!password", "all of its methods"),
            ("md5,md5", "md5 is listed more than once"),
            ("oauth,oauth", "more than once"),
            ("!md5,!md5", "more than once"),
        ];
        for (list, expected) in cases {
            let error = RequireAuth::parse(list).unwrap_err();
            assert!(error.contains(expected), "{list}: {error}");
        }
    }
}
