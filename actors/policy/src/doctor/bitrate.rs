//! Which bit rate suits a picture: the input table of the documented service.

/// What is wished, kbit/s; `None` where the table sets no bound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Range {
    pub low: Option<f64>,
    pub high: Option<f64>,
}

/// Shorter edge in pixels, lowest and highest kbit/s at 30 and at 60 frames a second, smallest picture first.
const TABLE: [(u32, [f64; 2], [f64; 2]); 5] = [
    (480, [500.0, 2_000.0], [500.0, 2_000.0]),
    (720, [1_500.0, 4_000.0], [2_250.0, 6_000.0]),
    (1080, [3_000.0, 6_000.0], [4_500.0, 9_000.0]),
    (1440, [6_000.0, 13_000.0], [9_000.0, 18_000.0]),
    (2160, [13_000.0, 34_000.0], [20_000.0, 51_000.0]),
];
/// Up to here the first column counts whole …
const SLOW: f64 = 30.5;
/// … and from here the second one does.
const FAST: f64 = 59.0;

/// Of pictures with this shorter edge. What lies between two rows or two columns gets the lower bound of the one and the upper bound of the
/// other; below the smallest picture nothing is too little, above the largest nothing too much.
pub(super) fn range(edge: u32, frame_rate: f64) -> Range {
    let below = TABLE.iter().rev().find(|row| row.0 <= edge);
    let above = TABLE.iter().find(|row| row.0 >= edge);
    let low = below.map(|row| if frame_rate < FAST { row.1[0] } else { row.2[0] });
    let high = above.map(|row| if frame_rate > SLOW { row.2[1] } else { row.1[1] });
    Range { low, high }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_rates_of_the_table_have_its_bounds_and_others_their_neighbours() {
        let bounds = |edge, rate| {
            let Range { low, high } = range(edge, rate);
            (low, high)
        };
        assert_eq!(bounds(1080, 30.0), (Some(3_000.0), Some(6_000.0)));
        assert_eq!(bounds(1080, 59.94), (Some(4_500.0), Some(9_000.0)));
        assert_eq!(bounds(720, 50.0), (Some(1_500.0), Some(6_000.0)));
        assert_eq!(bounds(576, 25.0), (Some(500.0), Some(4_000.0)));
        assert_eq!(bounds(360, 30.0), (None, Some(2_000.0)));
        assert_eq!(bounds(4320, 30.0), (Some(13_000.0), None));
    }
}
