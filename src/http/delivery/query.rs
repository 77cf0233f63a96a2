//! Delivery directives of a playlist request (RFC 8216bis 6.2.5.2).

/// A blocking reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Blocking {
    /// Segment that the playlist must have.
    pub msn: u64,
    /// Or this part of it.
    pub part: Option<u32>,
}

/// Why a query cannot be served.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// Not a decimal integer in range.
    #[error("{0} is not a number")]
    NotANumber(&'static str),
    /// `_HLS_part` alone says nothing.
    #[error("_HLS_part without _HLS_msn")]
    PartAlone,
}

impl Blocking {
    /// Reads the directives; other parameters are for others. The last of a repeated one counts.
    pub fn parse(query: &str) -> Result<Option<Self>, Refusal> {
        let (mut msn, mut part) = (None, None);
        for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match key {
                "_HLS_msn" => msn = Some(value.parse().map_err(|_| Refusal::NotANumber("_HLS_msn"))?),
                "_HLS_part" => part = Some(value.parse().map_err(|_| Refusal::NotANumber("_HLS_part"))?),
                _ => {}
            }
        }
        match (msn, part) {
            (Some(msn), part) => Ok(Some(Self { msn, part })),
            (None, Some(_)) => Err(Refusal::PartAlone),
            (None, None) => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_are_read_and_nonsense_is_refused() {
        assert_eq!(Blocking::parse(""), Ok(None));
        assert_eq!(Blocking::parse("token=a&_HLS_skip=YES"), Ok(None));
        assert_eq!(Blocking::parse("_HLS_msn=7"), Ok(Some(Blocking { msn: 7, part: None })));
        assert_eq!(Blocking::parse("_HLS_part=2&_HLS_msn=7"), Ok(Some(Blocking { msn: 7, part: Some(2) })));
        assert_eq!(Blocking::parse("_HLS_part=2"), Err(Refusal::PartAlone));
        assert_eq!(Blocking::parse("_HLS_msn=-1"), Err(Refusal::NotANumber("_HLS_msn")));
        assert_eq!(Blocking::parse("_HLS_msn=1&_HLS_part=4294967296"), Err(Refusal::NotANumber("_HLS_part")));
    }
}
