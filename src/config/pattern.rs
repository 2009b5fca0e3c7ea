//! Patterns for names, with the syntax of shell globs: `*`, `?`, `[...]`, and `\` to escape a character. Pure.

/// A pattern that must match a whole name. Case-sensitive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// `*`: any characters, or none.
    Any,
    /// `?`: any one character.
    One,
    Literal(char),
    /// `[...]`, or `[!...]` for any other character. A single character is a range of one.
    Set {
        ranges: Vec<(char, char)>,
        is_negated: bool,
    },
}

/// Why a text is not a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidPattern {
    #[error("is empty")]
    Empty,
    #[error("has a \"[\" without \"]\"; write \"\\[\" for the character")]
    OpenSet,
    #[error("has a range in \"[...]\" that ends before it begins")]
    Backwards,
    #[error("ends with \"\\\", which must be followed by the character to escape")]
    NothingEscaped,
}

impl Pattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// It is empty, or ends within a set or an escape.
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidPattern> {
        let mut parts = Vec::new();
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            parts.push(match c {
                '*' => Part::Any,
                '?' => Part::One,
                '[' => set(&mut rest)?,
                '\\' => Part::Literal(rest.next().ok_or(InvalidPattern::NothingEscaped)?),
                other => Part::Literal(other),
            });
        }
        // Consecutive `*` are equivalent to one.
        parts.dedup_by(|a, b| (&*a, &*b) == (&Part::Any, &Part::Any));
        if parts.is_empty() { Err(InvalidPattern::Empty) } else { Ok(Self(parts)) }
    }

    /// Whether the whole of `name` matches. Takes at most time proportional to the product of both lengths.
    pub(crate) fn matches(&self, name: &str) -> bool {
        let (mut parts, mut left) = (self.0.as_slice(), name.chars());
        // Where to resume after a mismatch: the parts after the last `*`, one character further on.
        let mut again = None;
        loop {
            let before = left.clone();
            let matched = match (parts.split_first(), left.next()) {
                (None, None) => return true,
                (Some((Part::Any, after)), _) => {
                    (parts, left) = (after, before.clone());
                    again = Some((after, before));
                    continue;
                }
                (Some((part, after)), Some(c)) if part.is(c) => Some(after),
                _ => None,
            };
            match (matched, &mut again) {
                (Some(after), _) => parts = after,
                (None, Some((after, from))) => {
                    if from.next().is_none() {
                        return false;
                    }
                    (parts, left) = (*after, from.clone());
                }
                (None, None) => return false,
            }
        }
    }
}

impl Part {
    fn is(&self, c: char) -> bool {
        match self {
            Self::Any | Self::One => true,
            Self::Literal(literal) => *literal == c,
            Self::Set { ranges, is_negated } => {
                ranges.iter().any(|(first, last)| (*first..=*last).contains(&c)) != *is_negated
            }
        }
    }
}

/// Parses what follows a `[`. As in a shell, a leading `]` is literal.
fn set(rest: &mut std::str::Chars<'_>) -> Result<Part, InvalidPattern> {
    let mut next = || rest.next().ok_or(InvalidPattern::OpenSet);
    let mut c = next()?;
    let is_negated = c == '!' || c == '^';
    if is_negated {
        c = next()?;
    }
    let mut ranges: Vec<(char, char)> = Vec::new();
    // A `-` between two characters makes a range; the first or last `-` is literal.
    let mut is_range_open = false;
    let mut is_first = true;
    loop {
        match c {
            ']' if !is_first => break,
            '-' if !is_first && !is_range_open => is_range_open = true,
            _ => {
                let c = if c == '\\' { next()? } else { c };
                match ranges.last_mut().filter(|_| is_range_open) {
                    Some((first, _)) if *first > c => return Err(InvalidPattern::Backwards),
                    Some((_, last)) => *last = c,
                    None => ranges.push((c, c)),
                }
                is_range_open = false;
            }
        }
        is_first = false;
        c = next()?;
    }
    if is_range_open {
        ranges.push(('-', '-'));
    }
    Ok(Part::Set { ranges, is_negated })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, name: &str) -> bool {
        Pattern::parse(pattern).unwrap_or_else(|error| panic!("{pattern} {error}")).matches(name)
    }

    #[test]
    fn a_pattern_is_what_it_is_in_a_shell() {
        let cases: [(&str, &[&str], &[&str]); 14] = [
            ("app", &["app"], &["App", "app2", "my app", ""]),
            ("*", &["", "a", "My \"db\"\n", "é"], &[]),
            ("test_*", &["test_", "test_1"], &["test", "a test_1", "TEST_1"]),
            ("*_old", &["_old", "a_old_old"], &["a_older"]),
            ("a*b*c", &["abc", "abbc", "a b c", "abcbc"], &["ab", "acb", "abcd"]),
            ("**", &["", "a"], &[]),
            ("db?", &["db1", "dbé"], &["db", "db12"]),
            ("tenant_[0-9]", &["tenant_7"], &["tenant_", "tenant_a", "tenant_77"]),
            ("[a-cx]*", &["a", "b2", "x"], &["d", "", "-"]),
            ("[!a-c]", &["d", "-", "]"], &["a", "c", ""]),
            ("[]-]", &["]", "-"], &["a"]),
            ("[a-]", &["a", "-"], &["b"]),
            ("\\*\\?\\[", &["*?["], &["a?["]),
            ("[\\]a]", &["]", "a"], &["\\"]),
        ];
        for (pattern, yes, no) in cases {
            for name in yes {
                assert!(matches(pattern, name), "{pattern} {name}");
            }
            for name in no {
                assert!(!matches(pattern, name), "{pattern} {name}");
            }
        }
    }

    #[test]
    fn what_is_not_closed_is_refused() {
        let cases = [
            ("", InvalidPattern::Empty),
            ("a[b", InvalidPattern::OpenSet),
            ("a[", InvalidPattern::OpenSet),
            ("[]", InvalidPattern::OpenSet),
            ("[!]", InvalidPattern::OpenSet),
            ("[a\\]", InvalidPattern::OpenSet),
            ("[z-a]", InvalidPattern::Backwards),
            ("a\\", InvalidPattern::NothingEscaped),
        ];
        for (pattern, expected) in cases {
            assert_eq!(Pattern::parse(pattern), Err(expected), "{pattern}");
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        let pattern = "a*".repeat(200) + "b";
        assert!(!matches(&pattern, &"a".repeat(10_000)));
    }

    /// A reference implementation of patterns, by exhaustive search.
    fn naively(parts: &[Part], name: &[char]) -> bool {
        match (parts.split_first(), name.split_first()) {
            (None, left) => left.is_none(),
            (Some((Part::Any, after)), left) => {
                naively(after, name) || left.is_some_and(|(_, left)| naively(parts, left))
            }
            (Some((part, after)), Some((c, left))) => part.is(*c) && naively(after, left),
            (Some(_), None) => false,
        }
    }

    proptest! {
        #[test]
        fn going_back_to_the_last_star_is_enough(pattern in "[ab*?]{1,8}", name in "[ab]{0,8}") {
            let pattern = Pattern::parse(&pattern).unwrap();
            prop_assert_eq!(pattern.matches(&name), naively(&pattern.0, &name.chars().collect::<Vec<_>>()));
        }
    }
}
