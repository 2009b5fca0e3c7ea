//! Integers in bodies. In JSON, 226 and 226.0 are the same number, and JSON Schema calls both integers.

use std::any::type_name;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserializer, Error, Unexpected, Visitor};

/// For `#[serde(default, deserialize_with = "...")]`: an integer, or null.
pub(super) fn optional<'de, T: TryFrom<i64>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    deserializer.deserialize_option(Optional(PhantomData))
}

struct Optional<T>(PhantomData<T>);

impl<'de, T: TryFrom<i64>> Visitor<'de> for Optional<T> {
    type Value = Option<T>;

    /// The name of the type, as derived implementations have it.
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(type_name::<T>())
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        T::try_from(number).map(Some).map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        let small = i64::try_from(number).ok().and_then(|number| T::try_from(number).ok());
        small.map(Some).ok_or_else(|| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        // The conversion of a number that is too large gives the largest, which is none of the types'.
        if number.fract() == 0.0 {
            self.visit_i64(number as i64)
        } else {
            Err(E::invalid_type(Unexpected::Float(number), &self))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    #[test]
    fn a_number_without_a_fraction_is_an_integer() {
        let port = |value: Value| super::optional::<u16, _>(value);
        for (value, expected) in [(json!(226), Some(226)), (json!(226.0), Some(226)), (json!(null), None)] {
            assert_eq!(port(value).unwrap(), expected);
        }
        for value in [json!(226.5), json!(-1), json!(65_536), json!(1e300), json!("5"), json!(true), json!([5])] {
            let message = port(value.clone()).unwrap_err().to_string();
            assert!(message.ends_with(", expected u16"), "{value}: {message}");
        }
    }
}
