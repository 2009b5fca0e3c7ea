//! Authentication by the tokens of `http.tokens_file`, sent as a bearer token or as a password with the token's name.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use openssl::memcmp;
use openssl::sha::sha256;

/// Bytes: shorter tokens could be guessed.
const MIN_TOKEN_LENGTH: usize = 16;

/// The accepted tokens. Only their digests are kept in memory.
pub(super) struct Tokens(Vec<Token>);

struct Token {
    name: String,
    digest: [u8; 32],
}

impl Tokens {
    /// Parses a tokens file: one `NAME:TOKEN` a line; empty lines and lines that begin with `#` are ignored.
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
            tokens.push(Token { name: name.into(), digest: sha256(token.as_bytes()) });
        }
        if tokens.is_empty() {
            return Err("contains no tokens; add at least one line \"NAME:TOKEN\"".into());
        }
        Ok(Self(tokens))
    }

    /// Whether a request has exactly one `Authorization` header, with one of the tokens.
    pub(super) fn accept(&self, headers: &HeaderMap) -> bool {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return false };
        let Some((scheme, credentials)) = value.to_str().ok().and_then(|value| value.split_once(' ')) else {
            return false;
        };
        let credentials = credentials.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return self.contains(None, credentials.as_bytes());
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return false;
        }
        let Ok(decoded) = openssl::base64::decode_block(credentials) else { return false };
        match std::str::from_utf8(&decoded).ok().and_then(|decoded| decoded.split_once(':')) {
            Some((name, token)) => self.contains(Some(name), token.as_bytes()),
            None => false,
        }
    }

    /// Takes the same time for any token: the digest is compared with all others.
    fn contains(&self, name: Option<&str>, token: &[u8]) -> bool {
        let digest = sha256(token);
        self.0.iter().fold(false, |found, known| {
            let has_name = name.is_none_or(|name| name == known.name);
            found | (memcmp::eq(&known.digest, &digest) & has_name)
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
