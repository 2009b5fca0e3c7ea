//! Tokens of the API: 256 random bits behind a prefix, by which secret scanners find them. Only their digest is stored.

use openssl::error::ErrorStack;
use openssl::sha::sha256;

use libpq::Secret;

const PREFIX: &str = "pc_";

/// Characters of 32 bytes in base64 without padding.
const ENCODED_LENGTH: usize = 43;

/// A new token.
///
/// # Errors
/// There are no random numbers.
pub(in crate::http) fn generate() -> Result<Secret, ErrorStack> {
    let mut bytes = [0; 32];
    openssl::rand::rand_bytes(&mut bytes)?;
    // The URL-safe alphabet, without padding.
    let encoded = openssl::base64::encode_block(&bytes).replace('+', "-").replace('/', "_");
    Ok(Secret::new(format!("{PREFIX}{}", encoded.trim_end_matches('='))))
}

/// What is stored of a token. A plain digest suffices, because tokens cannot be guessed.
pub(in crate::http) fn digest(token: &str) -> [u8; 32] {
    sha256(token.as_bytes())
}

/// Whether a text has the form of a token.
pub(super) fn is_possible(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    text.strip_prefix(PREFIX).is_some_and(|rest| rest.len() == ENCODED_LENGTH && rest.bytes().all(is_allowed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_a_prefix_and_differ() {
        let tokens: Vec<_> = (0..50).map(|_| generate().unwrap()).collect();
        assert!(tokens.iter().all(|token| is_possible(token.reveal())), "{}", tokens[0].reveal());
        let digests: std::collections::BTreeSet<_> = tokens.iter().map(|token| digest(token.reveal())).collect();
        assert_eq!(digests.len(), 50);
    }

    #[test]
    fn other_texts_are_not_looked_up() {
        let token = generate().unwrap().reveal().to_owned();
        for text in ["", "pc_", "0123456789abcdef", &token[1..], &format!("{token}x"), &token.replace("pc_", "pc ")] {
            assert!(!is_possible(text), "{text}");
        }
    }
}
