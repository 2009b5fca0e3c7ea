//! What does the environment say? It overrides the file, and stands where a value has `${VARIABLE}`. Pure.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsString;

/// The environment, which is read once and passed on.
#[derive(Clone, Default)]
pub(super) struct Variables(BTreeMap<OsString, OsString>);

impl FromIterator<(OsString, OsString)> for Variables {
    fn from_iter<I: IntoIterator<Item = (OsString, OsString)>>(variables: I) -> Self {
        Self(variables.into_iter().collect())
    }
}

impl Variables {
    /// Those whose name begins with `prefix`, in any case, in the order of their names.
    ///
    /// # Errors
    /// The name of one that is not UTF-8. What it holds is not told: it may be a password.
    pub(super) fn with_prefix(&self, prefix: &str) -> Result<Vec<(String, String)>, String> {
        self.0
            .iter()
            .map(|(name, value)| (name.to_string_lossy(), value))
            .filter(|(name, _)| name.to_uppercase().starts_with(prefix))
            .map(|(name, value)| match value.to_str() {
                Some(value) => Ok((name.into_owned(), value.into())),
                None => Err(name.into_owned()),
            })
            .collect()
    }

    /// `text` with each `${VARIABLE}` replaced by what the variable holds. A `$` that no `{` follows is one, and `$${`
    /// stands for `${`.
    ///
    /// # Errors
    /// What is wrong with it, as the predicate of a sentence that does not quote it.
    pub(super) fn expand(&self, text: &str) -> Result<String, String> {
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
                return Err("has a \"${\" that no name and \"}\" follow; write \"$${\" where \"${\" is meant".into());
            };
            expanded.extend([Cow::Borrowed(before), self.value(name)?]);
            rest = after;
        }
        expanded.push_str(rest);
        Ok(expanded)
    }

    fn value(&self, name: &str) -> Result<Cow<'_, str>, String> {
        match self.0.get(&OsString::from(name)).map(|value| value.to_str()) {
            Some(Some(value)) => Ok(value.into()),
            Some(None) => Err(format!("needs the environment variable \"{name}\", which is not UTF-8")),
            None => Err(format!("needs the environment variable \"{name}\", which is not set")),
        }
    }
}

/// Stricter than the operating system: whatever else stands between braces might be part of a password.
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
            assert_eq!(variables().expand(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_replaced_is_told_without_quoting_it() {
        let cases = [
            ("s3cret${GONE}s3cret", "\"GONE\", which is not set"),
            ("${a}", "\"a\", which is not set"),
            ("${ODD}", "\"ODD\", which is not UTF-8"),
            ("${s3cret", "\"$${\""),
            ("${}s3cret", "\"$${\""),
            ("${s3cret!}", "\"$${\""),
            ("${1}", "\"$${\""),
            ("${A${A}}", "\"$${\""),
        ];
        for (text, expected) in cases {
            let error = variables().expand(text).unwrap_err();
            assert!(error.contains(expected) && !error.contains("s3cret"), "{text}: {error}");
        }
    }

    #[test]
    fn one_that_overrides_has_to_be_utf_8() {
        let found = variables().with_prefix("POWA_");
        assert_eq!(found, Ok(vec![("POWA_X".into(), "1".into()), ("powa_y".into(), "2".into())]));
        assert_eq!(variables().with_prefix("OTHER_"), Err("OTHER_ODD".into()));
    }
}
