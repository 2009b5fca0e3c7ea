//! The environment variables: they override the file, and replace `${VARIABLE}` in values. Pure.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsString;

/// The environment, read once and passed on.
#[derive(Clone, Default)]
pub(super) struct Variables(BTreeMap<OsString, OsString>);

impl FromIterator<(OsString, OsString)> for Variables {
    fn from_iter<I: IntoIterator<Item = (OsString, OsString)>>(variables: I) -> Self {
        Self(variables.into_iter().collect())
    }
}

impl Variables {
    /// The environment of this process.
    pub(super) fn from_process() -> Self {
        std::env::vars_os().collect()
    }

    /// The variables whose name begins with `prefix`, in any case, sorted by name.
    ///
    /// # Errors
    /// The name of a variable whose value is not UTF-8. The value is not reported: it may be a password.
    pub(super) fn with_prefix(&self, prefix: &str) -> Result<Vec<(String, String)>, String> {
        self.0
            .iter()
            .map(|(name, value)| (name.to_string_lossy(), value))
            .filter(|(name, _)| Self::begins_with(name, prefix))
            .map(|(name, value)| match value.to_str() {
                Some(value) => Ok((name.into_owned(), value.into())),
                None => Err(name.into_owned()),
            })
            .collect()
    }

    /// The names of all variables.
    pub(super) fn names(&self) -> impl Iterator<Item = Cow<'_, str>> {
        self.0.keys().map(|name| name.to_string_lossy())
    }

    /// Whether a name begins with a prefix, in any case.
    pub(super) fn begins_with(name: &str, prefix: &str) -> bool {
        name.get(..prefix.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(prefix))
    }

    /// Replaces each `${VARIABLE}` in `text`. A `$` without `{` is literal, and `$${` stands for `${`.
    ///
    /// # Errors
    /// A variable is not set, or the syntax is wrong.
    pub(super) fn expand(&self, text: &str) -> Result<String, Unexpandable> {
        let mut expanded = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            let (before, variable) = rest.split_at(at);
            let name = &variable[2..];
            if let Some(before) = before.strip_suffix('$') {
                expanded.extend([before, "${"]);
                rest = name;
                continue;
            }
            let Some((name, after)) = name.split_once('}').filter(|(name, _)| is_name(name)) else {
                let reason =
                    "contains a \"${\" that is not followed by a name and \"}\"; write \"$${\" for a literal \"${\"";
                return Err(Unexpandable::Invalid(reason.into()));
            };
            expanded.extend([Cow::Borrowed(before), self.value(name)?]);
            rest = after;
        }
        expanded.push_str(rest);
        Ok(expanded)
    }

    fn value(&self, name: &str) -> Result<Cow<'_, str>, Unexpandable> {
        match self.0.get(&OsString::from(name)).map(|value| value.to_str()) {
            Some(Some(value)) => Ok(value.into()),
            Some(None) => {
                let reason = format!("needs the environment variable \"{name}\", which is not UTF-8");
                Err(Unexpandable::Invalid(reason))
            }
            None => Err(Unexpandable::Unset(name.into())),
        }
    }
}

/// Why a variable in a text could not be replaced.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unexpandable {
    /// The variable with this name is not set.
    Unset(String),
    /// The error, as the predicate of a sentence that does not quote the text.
    Invalid(String),
}

/// How to set a variable that systemd normally sets.
pub(super) fn hint(name: &str) -> &'static str {
    match name {
        "CREDENTIALS_DIRECTORY" => {
            "; systemd sets it for a service whose unit has LoadCredential=; for a command, set it to the directory that contains \
            the file: for root, that of the running service is /run/credentials/powa-collector.service"
        }
        _ => "",
    }
}

/// Stricter than the operating system: other text between braces may be part of a password.
fn is_name(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    text.bytes().next().is_some_and(is_letter) && text.bytes().all(|byte| is_letter(byte) || byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn variables() -> Variables {
        let odd = OsString::from_vec(b"s3cret\xff".to_vec());
        [("A", "a b'c"), ("B_2", "${A}"), ("EMPTY", ""), ("POWA_X", "1"), ("powa_y", "2")]
            .map(|(name, value)| (name.into(), value.into()))
            .into_iter()
            .chain([("ODD".into(), odd.clone()), ("OTHER_ODD".into(), odd)])
            .collect()
    }

    #[test]
    fn variables_are_replaced_and_dollars_stay() {
        let cases = [
            ("", ""),
            ("none", "none"),
            ("${A}", "a b'c"),
            ("x${A}y${A}z", "xa b'cya b'cz"),
            ("${B_2}", "${A}"),
            ("[${EMPTY}]", "[]"),
            ("$", "$"),
            ("a$", "a$"),
            ("$$", "$$"),
            ("$A", "$A"),
            ("$$A{}", "$$A{}"),
            ("{A}}", "{A}}"),
            ("$${", "${"),
            ("$${A}", "${A}"),
            ("$$${A}", "$${A}"),
            ("$${${A}}", "${a b'c}"),
            ("é${A}é", "éa b'cé"),
        ];
        for (text, expected) in cases {
            assert_eq!(variables().expand(text), Ok(expected.into()), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_replaced_is_told_without_quoting_it() {
        let cases = [
            ("s3cret${GONE}s3cret", "Unset(\"GONE\")"),
            ("${a}", "Unset(\"a\")"),
            ("${ODD}", "\"ODD\", which is not UTF-8"),
            ("${s3cret", "\"$${\""),
            ("${}s3cret", "\"$${\""),
            ("${s3cret!}", "\"$${\""),
            ("${1}", "\"$${\""),
            ("${A${A}}", "\"$${\""),
        ];
        for (text, expected) in cases {
            let error = match variables().expand(text).unwrap_err() {
                Unexpandable::Invalid(reason) => reason,
                unset => format!("{unset:?}"),
            };
            assert!(error.contains(expected) && !error.contains("s3cret"), "{text}: {error}");
        }
    }

    #[test]
    fn an_overriding_variable_must_be_utf_8() {
        let found = variables().with_prefix("POWA_");
        assert_eq!(found, Ok(vec![("POWA_X".into(), "1".into()), ("powa_y".into(), "2".into())]));
        assert_eq!(variables().with_prefix("OTHER_"), Err("OTHER_ODD".into()));
    }
}
