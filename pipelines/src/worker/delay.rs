//! How long after its arrival an input is shown. Pure.
//!
//! It begins with what the output runs behind, and grows when an input's sound comes later than that allows. Before anything is shown it
//! grows at once. On air, picture and sound go together to where they should be, so slowly that nobody notices: [`PACE`]. Only
//! where sound already comes too late to be heard is that made good at once, because each further burst would have a hole of its own.
//! It grows by whole slots, so that pictures stay where in their slots they are, and it never shrinks.

/// How long before it is heard sound is to arrive, nanoseconds: packets, decoder, a slot.
const SOUND_LEAD: i64 = 110_000_000;
/// A lead that is left as it is, nanoseconds.
const ENOUGH: i64 = 80_000_000;
/// Sound with less is not there when its slot is made, nanoseconds: a slot, what the encoder reads ahead, the decoder.
const TOO_LATE: i64 = 65_000_000;
/// Largest growth, nanoseconds.
const MOST: i64 = 1_000_000_000;
/// An input that is shown gains at most this part of the time that passes, a little less than its sound can follow.
const PACE: i64 = 250;

/// The delay of one input.
#[derive(Clone, Copy, Debug)]
pub struct Delay {
    now: i64,
    /// What it shall be.
    wanted: i64,
    most: i64,
    /// How long a slot lasts; 0 before the first.
    slot: i64,
}

impl Delay {
    /// A delay of `least` nanoseconds.
    pub fn new(least: i64) -> Self {
        Self { now: least, wanted: least, most: least + MOST, slot: 0 }
    }

    /// Nanoseconds from arrival to show, now.
    pub fn now(&self) -> i64 {
        self.now
    }

    /// The sound comes `late` nanoseconds after the pictures of its time. `true` when the delay grew at once.
    pub fn hear(&mut self, late: i64) -> bool {
        let lead = self.wanted - late;
        if lead < ENOUGH {
            let missing = SOUND_LEAD - lead;
            let missing = if self.slot > 0 { (missing + self.slot - 1) / self.slot * self.slot } else { missing };
            self.wanted = (self.wanted + missing).min(self.most).max(self.wanted);
        }
        self.now - late < TOO_LATE && self.jump()
    }

    /// Makes it at once what it shall be; `true` when it was not.
    pub fn jump(&mut self) -> bool {
        std::mem::replace(&mut self.now, self.wanted) != self.wanted
    }

    /// A slot of so many nanoseconds is made, in which the input is shown or not.
    pub fn slot(&mut self, slot: i64, shown: bool) {
        self.slot = slot;
        let step = if shown { slot / PACE } else { i64::MAX };
        self.now += (self.wanted - self.now).min(step);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;
    const SLOT: i64 = 40 * MS;

    #[test]
    fn what_is_heard_in_time_changes_nothing() {
        let mut delay = Delay::new(150 * MS);
        assert!(!delay.hear(45 * MS) && !delay.hear(70 * MS) && !delay.jump());
    }

    #[test]
    fn before_anything_is_shown_it_is_what_the_sound_needs() {
        let mut delay = Delay::new(150 * MS);
        assert!(delay.hear(300 * MS));
        assert_eq!(delay.now(), 410 * MS);
        let mut delay = Delay::new(150 * MS);
        delay.hear(75 * MS);
        assert!(delay.jump());
        assert_eq!(delay.now(), 185 * MS);
    }

    #[test]
    fn on_air_it_grows_slowly_while_the_sound_is_in_time() {
        let mut delay = Delay::new(150 * MS);
        delay.slot(SLOT, true);
        assert!(!delay.hear(80 * MS));
        let mut slots = 0;
        while delay.now() < 190 * MS {
            let before = delay.now();
            delay.slot(SLOT, true);
            assert!((1..=SLOT / PACE).contains(&(delay.now() - before)));
            slots += 1;
        }
        assert_eq!(slots, 250);
        delay.slot(SLOT, true);
        assert_eq!(delay.now(), 190 * MS);
    }

    #[test]
    fn unseen_or_missed_it_grows_at_once_by_whole_slots() {
        let mut delay = Delay::new(150 * MS);
        delay.slot(SLOT, true);
        delay.hear(80 * MS);
        delay.slot(SLOT, false);
        assert_eq!(delay.now(), 190 * MS);
        assert!(delay.hear(200 * MS));
        assert_eq!(delay.now(), 310 * MS);
        assert!(delay.hear(5_000 * MS) && !delay.hear(6_000 * MS));
        assert_eq!(delay.now(), 1_150 * MS);
    }
}
