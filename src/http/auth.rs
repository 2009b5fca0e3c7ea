//! The credentials of a request, and authentication by the tokens of `http.tokens_file`, sent as a bearer token or as a password
//! with the token's name.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use openssl::memcmp;
use openssl::sha::sha256;

use crate::repository::ApiRole;
use libpq::Secret;

/// Bytes: shorter tokens could be guessed.
const MIN_TOKEN_LENGTH: usize = 16;

/// What a request has in its `Authorization` header.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Credentials {
    Bearer(Secret),
    Basic { name: String, password: Secret },
}

impl Credentials {
    /// Those of a request with exactly one `Authorization` header of a known scheme.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return None };
        let (scheme, credentials) = value.to_str().ok()?.split_once(' ')?;
        let credentials = credentials.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return Some(Self::Bearer(Secret::new(credentials.into())));
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = openssl::base64::decode_block(credentials).ok()?;
        let (name, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
        Some(Self::Basic { name: name.into(), password: Secret::new(password.into()) })
    }
}

/// The accepted tokens. Only their digests are kept in memory.
pub(super) struct Tokens(Vec<Token>);

struct Token {
    name: String,
    /// What it may do by the API. Everything else can be read with any token.
    role: ApiRole,
    digest: [u8; 32],
}

impl Tokens {
    /// Parses a tokens file: one `NAME:TOKEN` or `NAME:ROLE:TOKEN` a line; empty lines and lines that begin with `#` are ignored.
    /// A token can contain colons, so only the exact name of a role is one.
    ///
    /// # Errors
    /// What is wrong, as a predicate without a subject. It never quotes the file.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())?;
        let mut tokens = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let (number, line) = (number + 1, line.trim());
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, token) =
                line.split_once(':').ok_or_else(|| format!("has no \"NAME:TOKEN\" in line {number}"))?;
            let (role, token) = match token.split_once(':') {
                Some((word, token)) if ApiRole::parse(word).is_some() => (ApiRole::parse(word), token),
                _ => (None, token),
            };
            if name.is_empty() {
                return Err(format!("has no name before the colon in line {number}"));
            }
            if name.trim() != name || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(format!(
                    "has an invalid character in line {number}; a token consists of visible ASCII characters, without \
                     spaces around the colon"
                ));
            }
            if token.len() < MIN_TOKEN_LENGTH {
                return Err(format!(
                    "has a token in line {number} that is too short; use at least {MIN_TOKEN_LENGTH} characters, such as \
                     the output of \"openssl rand -hex 32\""
                ));
            }
            let role = role.unwrap_or(ApiRole::Viewer);
            tokens.push(Token { name: name.into(), role, digest: sha256(token.as_bytes()) });
        }
        if tokens.is_empty() {
            return Err("contains no tokens; add at least one line \"NAME:TOKEN\"".into());
        }
        Ok(Self(tokens))
    }

    /// Whether a request has one of the tokens.
    pub(super) fn accept(&self, headers: &HeaderMap) -> bool {
        Credentials::of(headers).is_some_and(|credentials| self.find(&credentials).is_some())
    }

    /// The name and the role of a token. Takes the same time for any token: the digest is compared with all others.
    pub(super) fn find(&self, credentials: &Credentials) -> Option<(&str, ApiRole)> {
        let (name, token) = match credentials {
            Credentials::Bearer(token) => (None, token),
            Credentials::Basic { name, password } => (Some(name), password),
        };
        let digest = sha256(token.reveal().as_bytes());
        self.0.iter().fold(None, |found, known| {
            let has_name = name.is_none_or(|name| *name == known.name);
            let is_same = memcmp::eq(&known.digest, &digest) & has_name;
            if is_same { Some((known.name.as_str(), known.role)) } else { found }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# comment\n\nprometheus:0123456789abcdef\nada:colons:are:allowed:here\n";

    fn accepts(authorization: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, authorization.parse().unwrap());
        Tokens::parse(FILE.as_bytes()).unwrap().accept(&headers)
    }

    fn basic(credentials: &str) -> String {
        format!("Basic {}", openssl::base64::encode_block(credentials.as_bytes()))
    }

    #[test]
    fn a_token_is_shown_as_a_bearer_or_as_a_password_with_its_name() {
        for good in [
            "Bearer 0123456789abcdef",
            "bearer  colons:are:allowed:here",
            &basic("prometheus:0123456789abcdef"),
            &basic("ada:colons:are:allowed:here"),
        ] {
            assert!(accepts(good), "{good}");
        }
    }

    #[test]
    fn whatever_else_is_shown_is_refused() {
        for bad in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer 0123456789abcde",
            "Bearer 0123456789abcdef0",
            "Bearer prometheus:0123456789abcdef",
            "0123456789abcdef",
            "Digest 0123456789abcdef",
            "Basic !!!",
            "Basic ====",
            "Basic /////w==",
            &basic(""),
            &basic("prometheus"),
            &basic("ada:0123456789abcdef"),
            &basic(":0123456789abcdef"),
        ] {
            assert!(!accepts(bad), "{bad}");
        }
        let tokens = Tokens::parse(FILE.as_bytes()).unwrap();
        assert!(!tokens.accept(&HeaderMap::new()));
        let mut twice = HeaderMap::new();
        twice.append(AUTHORIZATION, "Bearer 0123456789abcdef".parse().unwrap());
        twice.append(AUTHORIZATION, "Bearer nothing".parse().unwrap());
        assert!(!tokens.accept(&twice));
    }

    #[test]
    fn a_role_stands_between_the_name_and_the_token() {
        let file = "a:0123456789abcdef\nb:operator:1123456789abcdef\nc:admin:2123456789:abcdef\n\
                    d:viewer:3123456789abcdef\ne:Admin:4123456789abcdef\nf:administrator:5123456789abcdef\n";
        let tokens = Tokens::parse(file.as_bytes()).unwrap();
        let find = |token: &str| {
            let found = tokens.find(&Credentials::Bearer(Secret::new(token.into())));
            found.map(|(name, role)| format!("{name} {}", role.word()))
        };
        for (token, expected) in [
            ("0123456789abcdef", "a viewer"),
            ("1123456789abcdef", "b operator"),
            ("2123456789:abcdef", "c admin"),
            ("3123456789abcdef", "d viewer"),
            ("Admin:4123456789abcdef", "e viewer"),
            ("administrator:5123456789abcdef", "f viewer"),
        ] {
            assert_eq!(find(token).as_deref(), Some(expected), "{token}");
        }
        assert_eq!(find("admin:2123456789:abcdef"), None);
        assert!(Tokens::parse(b"a:admin:short").err().unwrap().contains("too short"));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_are_admitted_or_do_any_harm(bytes: Vec<u8>, base64 in "[A-Za-z0-9+/=]{0,40}", file: Vec<u8>) {
            let tokens = Tokens::parse(FILE.as_bytes()).unwrap();
            for value in [bytes, format!("Basic {base64}").into_bytes(), format!("Bearer {base64}").into_bytes()] {
                let Ok(value) = axum::http::HeaderValue::from_bytes(&value) else { continue };
                let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
                assert!(!tokens.accept(&headers));
            }
            let _ = Tokens::parse(&file);
        }
    }

    #[test]
    fn a_file_that_is_none_is_refused_without_quoting_it() {
        for (file, expected) in [
            ("", "contains no tokens"),
            ("# nothing\n", "contains no tokens"),
            ("s3cret-and-long-enough", "has no \"NAME:TOKEN\" in line 1"),
            ("\n:s3cret-and-long-enough", "has no name before the colon in line 2"),
            ("a:s3cret", "has a token in line 1 that is too short"),
            ("a: s3cret-and-long-enough", "has an invalid character in line 1"),
            ("a :s3cret-and-long-enough", "has an invalid character in line 1"),
            ("a:s3cret-and-long\u{a0}enough", "has an invalid character in line 1"),
            ("a:s3cret and long enough", "has an invalid character in line 1"),
            ("a:s3cret-\u{e9}-long-enough", "has an invalid character in line 1"),
        ] {
            let reason = Tokens::parse(file.as_bytes()).err().unwrap();
            assert!(reason.contains(expected) && !reason.contains("s3cret"), "{file}: {reason}");
        }
        assert!(Tokens::parse(b"a:\xff").is_err());
    }
}
