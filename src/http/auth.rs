//! Who may: whoever shows one of the tokens in a file, as a bearer or as a password with its name.

use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use openssl::memcmp;
use openssl::sha::sha256;

/// Fewer bytes could be tried out.
const SHORTEST_TOKEN: usize = 16;

/// What those who may know. What they know is not kept, only what tells it from anything else.
pub(super) struct Tokens(Vec<Token>);

struct Token {
    name: String,
    digest: [u8; 32],
}

impl Tokens {
    /// Takes a file apart: a name, a colon and a token a line; lines that are empty or begin with `#` are none.
    ///
    /// # Errors
    /// The predicate of a sentence that quotes nothing.
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
                    "has in line {number} a space beside the colon, or a token with something in it that is no letter, \
                     digit or mark of ASCII: nobody could show it"
                ));
            }
            if token.len() < SHORTEST_TOKEN {
                return Err(format!(
                    "has a token in line {number} that is too short: {SHORTEST_TOKEN} characters are the least, as \
                     \"openssl rand -hex 32\" makes them"
                ));
            }
            tokens.push(Token { name: name.into(), digest: sha256(token.as_bytes()) });
        }
        if tokens.is_empty() { Err("has no token in it, so that nobody may".into()) } else { Ok(Self(tokens)) }
    }

    /// Whether a request has one of them.
    pub(super) fn admit(&self, headers: &HeaderMap) -> bool {
        let mut shown = headers.get_all(AUTHORIZATION).iter();
        let (Some(shown), None) = (shown.next(), shown.next()) else { return false };
        let Some((scheme, credentials)) = shown.to_str().ok().and_then(|shown| shown.split_once(' ')) else {
            return false;
        };
        let credentials = credentials.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return self.has(None, credentials.as_bytes());
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return false;
        }
        let Ok(decoded) = openssl::base64::decode_block(credentials) else { return false };
        match std::str::from_utf8(&decoded).ok().and_then(|decoded| decoded.split_once(':')) {
            Some((name, token)) => self.has(Some(name), token.as_bytes()),
            None => false,
        }
    }

    /// Takes as long for any token: all are compared, and what is compared are digests.
    fn has(&self, name: Option<&str>, token: &[u8]) -> bool {
        let digest = sha256(token);
        self.0.iter().fold(false, |found, known| {
            let is_meant = name.is_none_or(|name| name == known.name);
            found | (memcmp::eq(&known.digest, &digest) & is_meant)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# who may\n\nprometheus:0123456789abcdef\nada:colons:are:allowed:here\n";

    fn admits(authorization: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, authorization.parse().unwrap());
        Tokens::parse(FILE.as_bytes()).unwrap().admit(&headers)
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
            assert!(admits(good), "{good}");
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
            assert!(!admits(bad), "{bad}");
        }
        let tokens = Tokens::parse(FILE.as_bytes()).unwrap();
        assert!(!tokens.admit(&HeaderMap::new()));
        let mut twice = HeaderMap::new();
        twice.append(AUTHORIZATION, "Bearer 0123456789abcdef".parse().unwrap());
        twice.append(AUTHORIZATION, "Bearer nothing".parse().unwrap());
        assert!(!tokens.admit(&twice));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_are_admitted_or_do_any_harm(bytes: Vec<u8>, base64 in "[A-Za-z0-9+/=]{0,40}", file: Vec<u8>) {
            let tokens = Tokens::parse(FILE.as_bytes()).unwrap();
            for value in [bytes, format!("Basic {base64}").into_bytes(), format!("Bearer {base64}").into_bytes()] {
                let Ok(value) = hyper::header::HeaderValue::from_bytes(&value) else { continue };
                let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
                assert!(!tokens.admit(&headers));
            }
            let _ = Tokens::parse(&file);
        }
    }

    #[test]
    fn a_file_that_is_none_is_refused_without_quoting_it() {
        for (file, expected) in [
            ("", "has no token in it"),
            ("# nothing\n", "has no token in it"),
            ("s3cret-and-long-enough", "has no \"NAME:TOKEN\" in line 1"),
            ("\n:s3cret-and-long-enough", "has no name before the colon in line 2"),
            ("a:s3cret", "has a token in line 1 that is too short"),
            ("a: s3cret-and-long-enough", "has in line 1 a space beside the colon"),
            ("a :s3cret-and-long-enough", "has in line 1 a space beside the colon"),
            ("a:s3cret-and-long\u{a0}enough", "or a token with something in it that is no letter"),
            ("a:s3cret and long enough", "or a token with something in it that is no letter"),
            ("a:s3cret-\u{e9}-long-enough", "or a token with something in it that is no letter"),
        ] {
            let said = Tokens::parse(file.as_bytes()).err().unwrap();
            assert!(said.contains(expected) && !said.contains("s3cret"), "{file}: {said}");
        }
        assert!(Tokens::parse(b"a:\xff").is_err());
    }
}
