//! Delivery directives of a playlist request (RFC 8216bis 6.2.5.2).

/// What a request asks of its playlist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Directives {
    /// Wait until the playlist has this.
    pub blocking: Option<Blocking>,
    /// A delta update will do.
    pub skip: bool,
}

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

impl Directives {
    /// Reads the directives; other parameters are for others. The last of a repeated one counts. A way of skipping that is not known
    /// gets the whole playlist; `v2` would skip date ranges too, of which there are none.
    pub fn parse(query: &str) -> Result<Self, Refusal> {
        let (mut msn, mut part, mut skip) = (None, None, false);
        for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match key {
                "_HLS_msn" => msn = Some(value.parse().map_err(|_| Refusal::NotANumber("_HLS_msn"))?),
                "_HLS_part" => part = Some(value.parse().map_err(|_| Refusal::NotANumber("_HLS_part"))?),
                "_HLS_skip" => skip = matches!(value, "YES" | "v2"),
                _ => {}
            }
        }
        match (msn, part) {
            (Some(msn), part) => Ok(Self { blocking: Some(Blocking { msn, part }), skip }),
            (None, Some(_)) => Err(Refusal::PartAlone),
            (None, None) => Ok(Self { blocking: None, skip }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_are_read_and_nonsense_is_refused() {
        let asks = |msn, part, skip| Ok(Directives { blocking: Some(Blocking { msn, part }), skip });
        let skips = |skip| Ok(Directives { blocking: None, skip });
        assert_eq!(Directives::parse(""), skips(false));
        assert_eq!(Directives::parse("token=a&_HLS_skip=YES"), skips(true));
        assert_eq!(Directives::parse("_HLS_skip=v2"), skips(true));
        assert_eq!(Directives::parse("_HLS_skip=NO"), skips(false));
        assert_eq!(Directives::parse("_HLS_msn=7"), asks(7, None, false));
        assert_eq!(Directives::parse("_HLS_part=2&_HLS_skip=YES&_HLS_msn=7"), asks(7, Some(2), true));
        assert_eq!(Directives::parse("_HLS_part=2&_HLS_skip=YES"), Err(Refusal::PartAlone));
        assert_eq!(Directives::parse("_HLS_msn=-1"), Err(Refusal::NotANumber("_HLS_msn")));
        assert_eq!(Directives::parse("_HLS_msn=1&_HLS_part=4294967296"), Err(Refusal::NotANumber("_HLS_part")));
    }
}
