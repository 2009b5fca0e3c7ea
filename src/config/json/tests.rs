use proptest::prelude::*;
use serde_json::json;

use super::*;

/// A parsed value, as `serde_json` would have it.
fn plain(value: &Value) -> serde_json::Value {
    match &value.kind {
        ValueKind::Nil => json!(null),
        ValueKind::Boolean(value) => json!(value),
        ValueKind::I64(number) => json!(number),
        ValueKind::U64(number) => json!(number),
        ValueKind::Float(number) => json!(number),
        ValueKind::String(text) => json!(text),
        ValueKind::Table(members) => object(members),
        ValueKind::Array(values) => values.iter().map(plain).collect(),
        other => unreachable!("{other:?}"),
    }
}

fn object(members: &Map<String, Value>) -> serde_json::Value {
    serde_json::Value::Object(members.iter().map(|(key, value)| (key.clone(), plain(value))).collect())
}

fn refusal(text: &str) -> String {
    let error = parse(text).err().unwrap_or_else(|| panic!("{text:?} is accepted"));
    let (line, column) = error.place;
    assert!(!error.reason.contains("s3cret"), "{text:?}: {}", error.reason);
    format!("{line}:{column} {}", error.reason)
}

#[test]
fn comments_are_blanks() {
    let text = "// é\n# one\n/* two\n * \"three\" **/{ // four\r\n \"a\" /**/ : # /*\n \"# //\" /*/ five */ , \"b\": [1, /* , */ 2] } // end";
    assert_eq!(object(&parse(text).unwrap()), json!({"a": "# //", "b": [1, 2]}));
}

#[test]
fn a_value_has_its_line() {
    let parsed = parse("{\"a\": 1,\n\n \"b\": {\n \"c\":\n 2}}").unwrap();
    let ValueKind::Table(inner) = &parsed["b"].kind else { panic!("{parsed:?}") };
    let origins = [parsed["a"].origin(), parsed["b"].origin(), inner["c"].origin()];
    assert_eq!(origins, [Some("line 1"), Some("line 3"), Some("line 5")]);
}

#[test]
fn an_error_has_its_place_and_says_what_to_change() {
    let cases = [
        (r#"{"spool": {"directory": /var/tmp}}"#, "1:25 a string must be in double quotes"),
        ("{\"a\": s3cret}", "1:7 a string must be in double quotes"),
        ("{\"a\": ~/s3cret}", "1:7 a string must be in double quotes"),
        ("{\"é\": 'x'}", "1:7 keys and strings must be in double quotes (\"), not in other ones"),
        ("{\u{201c}a\u{201d}: 1}", "1:2 keys and strings must be in double quotes (\"), not in other ones"),
        ("{\n  // é\n  \"a\": /* b */ x\n}", "3:16 a string must be in double quotes"),
        ("{\"a\": 1 /* open\n}", "1:9 the comment that begins here is not closed: \"*/\" is missing"),
        ("{\"a\": 1} /*/", "1:10 the comment that begins here is not closed: \"*/\" is missing"),
        ("", "1:1 the file is empty; it must hold a JSON object in braces: {...}"),
        (" \n\t// nothing\n", "3:1 the file is empty; it must hold a JSON object in braces: {...}"),
        ("[1]", "1:1 the file must begin with \"{\", as it must hold one JSON object"),
        ("\n[repository]\ndsn = s3cret", "2:1 the file must begin with \"{\", as it must hold one JSON object"),
        ("\"s3cret\"", "1:1 the file must begin with \"{\", as it must hold one JSON object"),
        ("{\"a\": 1,}", "1:8 a comma before \"}\" is not allowed; remove it"),
        ("{\"a\": [1,\n]}", "1:9 a comma before \"]\" is not allowed; remove it"),
        ("{\"a\": 1,, \"b\": 2}", "1:9 a key must follow a comma or \"{\"; one comma too many"),
        ("{\"a\": [1,,2]}", "1:10 a value is missing here"),
        ("{\"a\": }", "1:7 a value is missing here"),
        ("{\"a\": ", "1:7 the file ends where a value must be"),
        ("{\"a\": 1\n \"b\": 2}", "2:2 a comma is missing before this key"),
        ("{\"a\": \"s3cret\" \"s3cret\"}", "1:16 a comma is missing before this key"),
        ("{\"a\": [\"x\" \"y\"]}", "1:12 a comma is missing before this value"),
        ("{\"a\": \"x\" y}", "1:11 a comma or \"}\" must follow a value"),
        ("{\"a\": [1}", "1:9 a comma or \"]\" must follow a value"),
        ("{a: 1}", "1:2 a key must be in double quotes"),
        ("{\"a\": 1; \"b\": 2}", "1:7 this is not a valid number; a string must be in double quotes"),
        ("{\"a\": \"x\"; \"b\": 2}", "1:10 a comma or \"}\" must follow a value"),
        ("{\"a\" = 1}", "1:6 a colon must stand between a key and its value"),
        ("{\"a\", 1}", "1:5 a colon must stand between a key and its value"),
        ("{[1]}", "1:2 a key in double quotes, or \"}\", must be here"),
        ("{", "1:2 the file ends before \"}\" closes the \"{\" on line 1, column 1"),
        ("{\"a\"", "1:5 the file ends before \"}\" closes the \"{\" on line 1, column 1"),
        ("{\"a\": {\n\"b\": 1\n", "3:1 the file ends before \"}\" closes the \"{\" on line 1, column 7"),
        ("{\"a\": [1, ", "1:11 the file ends before \"]\" closes the \"[\" on line 1, column 7"),
        ("{\"a\": 1}}", "1:9 this \"}\" closes nothing; remove it, or the one too many before it"),
        ("{} {}", "1:4 nothing may follow the \"}\" that closes the first \"{\""),
        ("{\"a\": \"s3cret,\n \"b\": 2}", "1:7 the string that begins here has no closing double quote on its line"),
        ("{\"a: 1}", "1:2 the string that begins here has no closing double quote on its line"),
        ("{\"a\": \"s3cret\\\"}", "1:7 the string that begins here has no closing double quote on its line"),
        ("{\"a\": \"a\tb\"}", "1:9 a tab in a string must be written as \\t"),
        ("{\"a\": \"a\u{1}b\"}", "1:9 a control character in a string must be written as \\u0001"),
        ("{\"a\": \"é:\\powa\"}", "1:11 this escape sequence is not valid; a backslash must be written as \\\\"),
        (
            "{\"a\": \u{1}}",
            "1:7 a value must be here: a string in double quotes, a number, true, false, null, {...} or [...]",
        ),
        (
            "{\"a\":\u{a0}1}",
            "1:6 an invisible character (a no-break space, U+00A0) is not allowed here; replace it with a space, or remove it",
        ),
        (
            "{\"a\": true\u{feff}}",
            "1:11 an invisible character (a byte order mark, U+FEFF) is not allowed here; replace it with a space, or remove it",
        ),
        (
            "{\"a\": 1,\n\u{2028}\"b\": 1}",
            "2:1 an invisible character (U+2028) is not allowed here; replace it with a space, or remove it",
        ),
        ("{\"a\": \"s3cret\\\\\\u0000\"}", "1:7 a NUL character (\\u0000) is not allowed in a string"),
        ("{\"a\": True}", "1:7 this must be written as true"),
        ("{\"a\": off}", "1:7 this must be written as false"),
        ("{\"a\": None}", "1:7 this must be written as null"),
        ("{\"a\": 10s}", "1:7 this is not a valid number; a string must be in double quotes"),
        ("{\"a\": 012}", "1:7 this is not a valid number; a string must be in double quotes"),
        ("{\"a\": 127.0.0.1}", "1:7 this is not a valid number; a string must be in double quotes"),
        ("{\"a\": 1,\n \"b\": 2,\n \"a\": 3}", "3:2 the key \"a\" appears a second time; the first one is on line 1"),
        (
            "{\"limits\": {\"loads\": 1,\n \"lo\\u0061ds\": 2}}",
            "2:2 the key \"limits.loads\" appears a second time; the first one is on line 1",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(refusal(text), expected, "{text:?}");
    }
    let deep = format!("{{\"a\": {}", "[".repeat(100_000));
    assert_eq!(refusal(&deep), "1:70 objects and lists may be nested 64 deep at most");
}

fn any_value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|value| json!(value)),
        any::<i64>().prop_map(|value| json!(value)),
        any::<u64>().prop_map(|value| json!(value)),
        any::<f64>().prop_map(|value| json!(value)),
        "[^\0]{0,8}".prop_map(|value| json!(value)),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|values| json!(values)),
            prop::collection::hash_map("[^\0]{0,4}", inner, 0..4).prop_map(|values| json!(values)),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_json_can_say_without_nul_is_understood(value in any_value(), is_pretty: bool) {
        let whole = json!({"a": value});
        let text = if is_pretty { serde_json::to_string_pretty(&whole) } else { serde_json::to_string(&whole) }.unwrap();
        prop_assert_eq!(object(&parse(&text).unwrap()), serde_json::from_str::<serde_json::Value>(&text).unwrap());
    }

    #[test]
    fn what_is_not_json_is_refused_as_serde_json_does(text in r#"\{("[ab]":)?[ \n]?([-0-9.eE+]{1,5}|"(\\?[a-zé"]){0,3}"|true|nul|\[|\]|,|\}|[{}\[\],:" ]){0,6}\}?"#) {
        let expected = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&text);
        match parse(&text) {
            Ok(parsed) => prop_assert_eq!(object(&parsed), serde_json::Value::Object(expected.unwrap())),
            // Whether a key may appear twice is where they differ.
            Err(error) => prop_assert!(expected.is_err() || error.reason.contains("a second time"), "{:?}", error),
        }
    }

    #[test]
    fn nothing_makes_it_panic(text in any::<String>()) {
        drop(parse(&text));
    }
}
