//! Numbers in queries.

use std::num::TryFromIntError;

use serde::Deserialize;

/// A whole number from 0 to 2⁶³−1, as OpenAPI's `int64` with a minimum of 0 has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub struct Number(pub u64);

impl TryFrom<i64> for Number {
    type Error = TryFromIntError;

    fn try_from(number: i64) -> Result<Self, TryFromIntError> {
        number.try_into().map(Self)
    }
}

/// What a page of at most `most` things holds for a wish; more is no fault, and nor is 0.
pub fn limit(wish: Option<Number>, default: usize, most: usize) -> usize {
    wish.map_or(default, |Number(wish)| usize::try_from(wish).unwrap_or(most)).clamp(1, most)
}

#[cfg(test)]
mod tests {
    use actix_web::web::Query;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Page {
        limit: Option<Number>,
    }

    fn read(query: &str) -> Option<Option<u64>> {
        Query::<Page>::from_query(query).ok().map(|page| page.limit.map(|Number(number)| number))
    }

    #[test]
    fn numbers_are_those_that_the_description_allows() {
        assert_eq!(read(""), Some(None));
        assert_eq!(read("limit=0"), Some(Some(0)));
        assert_eq!(read("limit=9223372036854775807"), Some(Some(i64::MAX as u64)));
        for wrong in ["limit=-1", "limit=9223372036854775808", "limit=a", "limit=1.5", "limit="] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_page_holds_at_least_one_and_at_most_so_many() {
        let held = |wish: Option<u64>| limit(wish.map(Number), 100, 500);
        assert_eq!([held(None), held(Some(0)), held(Some(7)), held(Some(u64::MAX))], [100, 1, 7, 500]);
    }
}
