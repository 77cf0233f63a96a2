//! One stream over its broadcasts: what is visible, what is soon, and the cached text of manifests.
//!
//! The newest *playable* broadcast is the visible one: an ended broadcast stays until the next has a part in every rendition.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::broadcast::{Broadcast, Track};
use super::playlist::{self, Page};
use super::{KEPT_SEGMENTS, mpd};
use crate::pipeline::Placed;
use crate::protocol::{Chunk, Output};

/// What a stream's next broadcast begins with. Both only grow; they are stored, so that they survive the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// First sequence number.
    pub next_sequence: u64,
    /// Discontinuities before it; 0 for the first broadcast ever.
    pub discontinuity_sequence: u64,
}

/// Sequence numbers that are reserved at once: two hours. More are asked for when half of them is used, so with a disk that is full or
/// gone the output goes on for at least an hour. A process that is killed skips what it has not used.
pub const RESERVED_AHEAD: u64 = 4_500;
/// How long an MPD is served before it is written again: it tells clients the time, which may be old by this much.
const MPD_FRESH_NS: u64 = 100_000_000;

/// Something asked for by number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup<T> {
    /// Here it is.
    Found(T),
    /// Announced, or about to come: wait for the next version.
    Soon,
    /// Gone, or not foreseeable.
    Missing,
}

/// Bytes of an initialization segment, a part or a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// Audio, else video.
    pub audio: bool,
    /// To be sent one after the other.
    pub parts: Vec<Bytes>,
    /// Nothing will follow; else more parts come with later versions.
    pub complete: bool,
}

/// Whether a media playlist already has what a blocking reload asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// Yes, or the playlist has ended.
    Ready,
    /// Not yet.
    Wait,
    /// More than two segments beyond the playlist's last: refuse (RFC 8216bis 6.2.5.2).
    TooFar,
}

/// Packager of one stream.
#[derive(Default)]
pub struct Packager {
    /// Oldest first; all but the last are playable.
    broadcasts: VecDeque<Broadcast>,
    numbers: Numbers,
    version: u64,
    dropped: u64,
    turn: u64,
    master: Option<(u64, Arc<Page>)>,
    playlists: Vec<Rendered>,
    mpd: Option<RenderedMpd>,
}

/// A media playlist as it was last written, whole and as a delta update.
#[derive(Clone, Default)]
struct Rendered {
    version: u64,
    whole: Option<Arc<Page>>,
    delta: Option<Arc<Page>>,
}

struct RenderedMpd {
    turn: u64,
    at_ns: u64,
    page: Arc<Page>,
}

impl Packager {
    /// A packager whose first broadcast begins with `numbers`.
    pub fn new(numbers: Numbers) -> Self {
        Self { numbers, ..Self::default() }
    }

    /// Begins a broadcast: whatever ran before it gets no more parts. Nothing of it is visible before [`confirm`](Self::confirm).
    pub fn begin(&mut self, output: &Output) {
        self.broadcasts.retain(Broadcast::playable);
        self.broadcasts.push_back(Broadcast::new(
            output,
            self.numbers.next_sequence,
            self.numbers.discontinuity_sequence,
        ));
    }

    /// What must be stored before the current broadcast can go on for long; `None` while enough is confirmed.
    pub fn wanted(&self) -> Option<Numbers> {
        let current = self.broadcasts.back().filter(|broadcast| !broadcast.ended)?;
        if current.horizon > self.numbers.next_sequence + RESERVED_AHEAD / 2 {
            return None;
        }
        Some(Numbers {
            next_sequence: self.numbers.next_sequence + RESERVED_AHEAD,
            discontinuity_sequence: current.discontinuity_sequence + 1,
        })
    }

    /// `numbers` is stored: everything below may be shown.
    pub fn confirm(&mut self, numbers: Numbers) {
        let Some(current) = self.broadcasts.back_mut() else { return };
        // A confirmation that was asked for by an earlier broadcast does not cover this one's discontinuity.
        if numbers.discontinuity_sequence == current.discontinuity_sequence + 1 {
            current.horizon = current.horizon.max(numbers.next_sequence);
            self.supersede();
            self.turned();
        }
    }

    /// Takes a track's initialization segment; all but the first are ignored.
    pub fn init(&mut self, track: u8, data: Bytes) {
        if let Some(current) = self.broadcasts.back_mut() {
            current.init(track, data);
        }
    }

    /// Takes the next part of a track. A part that is already there, that leaves a hole or that comes after the end is dropped and counted.
    pub fn chunk(&mut self, chunk: Chunk) -> Placed {
        let sequence = chunk.segment;
        let before = (self.visible().map(|visible| visible.first_sequence), self.settled());
        let hole = self.broadcasts.back().is_some_and(|current| current.leaves_hole(&chunk));
        let taken = self.broadcasts.back_mut().is_some_and(|current| current.chunk(chunk));
        let Some(current) = self.broadcasts.back_mut().filter(|_| taken) else {
            self.dropped += 1;
            return Placed { hole, ..Placed::default() };
        };
        self.numbers.next_sequence = self.numbers.next_sequence.max(current.first_sequence + sequence + 1);
        let (playable, whole) = (current.playable(), current.whole_segments());
        let placed = Placed {
            hole,
            playable: playable && !current.told.0,
            segment: (playable && whole > current.told.1).then(|| current.first_sequence + whole - 1),
        };
        current.told = (playable, whole);
        let oldest = (current.first_sequence + current.newest_segment()).saturating_sub(KEPT_SEGMENTS);
        current.drop_before(oldest);
        if playable {
            self.supersede();
            self.drop_before(oldest);
        }
        self.version += 1;
        if before != (self.visible().map(|visible| visible.first_sequence), self.settled()) {
            self.turn += 1;
        }
        placed
    }

    /// The current broadcast is over, and so is what is still visible because the current one never became playable.
    pub fn end(&mut self) {
        let mut ended = false;
        for broadcast in self.broadcasts.iter_mut().filter(|broadcast| !broadcast.ended) {
            broadcast.end();
            ended = true;
        }
        if ended {
            self.turned();
        }
    }

    /// Forgets every broadcast that is over; numbers stay.
    pub fn forget_ended(&mut self) {
        self.broadcasts.retain(|broadcast| !broadcast.ended);
        self.turned();
    }

    /// First output frame of the current broadcast that at least one track has not published, and the first one that no
    /// track has; 0 without a broadcast.
    pub fn next_frames(&self) -> [u64; 2] {
        self.broadcasts.back().map_or([0, 0], Broadcast::next_frames)
    }

    /// Grows whenever something visible may have changed.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Grows when more has changed than one track's newest part: what is visible, how far it may be shown, or its end.
    pub fn turn(&self) -> u64 {
        self.turn
    }

    /// Parts that were dropped: duplicates of a resumed worker, holes, late ones.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Manifests can be served.
    pub fn playable(&self) -> bool {
        self.visible().is_some()
    }

    /// The visible broadcast is over.
    pub fn ended(&self) -> bool {
        self.visible().is_some_and(|broadcast| broadcast.ended)
    }

    /// A player that ignores parts finds a whole segment in every rendition, or the end.
    pub fn settled(&self) -> bool {
        self.visible().is_some_and(|broadcast| broadcast.ended || broadcast.whole_segments() > 0)
    }

    /// Text of the master playlist; `None` before a broadcast is playable.
    pub fn master(&mut self) -> Option<Arc<Page>> {
        let visible = self.visible()?;
        if let Some((_, page)) = self.master.as_ref().filter(|(version, _)| *version == self.version) {
            return Some(page.clone());
        }
        let page = Arc::new(Page::new(playlist::master(visible)));
        self.master = Some((self.version, page.clone()));
        Some(page)
    }

    /// Text of a media playlist; `None` before a broadcast is playable, and for a track that it does not have.
    pub fn playlist(&mut self, track: u8) -> Option<Arc<Page>> {
        self.rendered(track, |chain| playlist::media(chain, usize::from(track)), |rendered| &mut rendered.whole)
    }

    /// Text of a media playlist without what a player that has a recent one knows (RFC 8216bis 6.2.5.1); the whole text where nothing
    /// can be left out.
    pub fn delta(&mut self, track: u8) -> Option<Arc<Page>> {
        let whole = self.playlist(track)?;
        let write = |chain: &[&Broadcast]| playlist::delta(chain, usize::from(track));
        let delta = self.rendered(track, |chain| write(chain).unwrap_or_default(), |rendered| &mut rendered.delta)?;
        Some(if delta.text().is_empty() { whole } else { delta })
    }

    /// The cached page of the current version, else a new one.
    fn rendered(
        &mut self,
        track: u8,
        write: impl FnOnce(&[&Broadcast]) -> String,
        form: impl Fn(&mut Rendered) -> &mut Option<Arc<Page>>,
    ) -> Option<Arc<Page>> {
        let index = usize::from(track);
        self.visible().filter(|visible| index < visible.tracks.len())?;
        if self.playlists.len() <= index {
            self.playlists.resize(index + 1, Rendered::default());
        }
        if self.playlists[index].version != self.version {
            self.playlists[index] = Rendered { version: self.version, ..Rendered::default() };
        }
        if let Some(page) = form(&mut self.playlists[index]) {
            return Some(page.clone());
        }
        let page = Arc::new(Page::new(write(&self.continuous(self.visible()?))));
        *form(&mut self.playlists[index]) = Some(page.clone());
        Some(page)
    }

    /// Text of the MPD at `now_ns` (wall clock, nanoseconds since 1970), which clients set their clocks by. It may be 100 ms old.
    pub fn mpd(&mut self, now_ns: u64) -> Option<Arc<Page>> {
        let visible = self.visible()?;
        if let Some(mpd) = self.mpd.as_ref().filter(|mpd| mpd.turn == self.turn)
            && (visible.ended || (mpd.at_ns..mpd.at_ns + MPD_FRESH_NS).contains(&now_ns))
        {
            return Some(mpd.page.clone());
        }
        let page = Arc::new(Page::new(mpd::mpd(visible, now_ns)));
        self.mpd = Some(RenderedMpd { turn: self.turn, at_ns: now_ns, page: page.clone() });
        Some(page)
    }

    /// Whether a playlist has segment `msn`, or part `part` of it; `None` when there is no such playlist.
    pub fn reload(&self, track: u8, msn: u64, part: Option<u32>) -> Option<Reload> {
        let visible = self.visible()?;
        let track = visible.tracks.get(usize::from(track))?;
        if visible.ended {
            return Some(Reload::Ready);
        }
        let shown = visible.shown(track);
        let next = (visible.first_sequence + shown.0, shown.1);
        // A part beyond the segment's last is the first of the following segment.
        let wanted = match part {
            None => (msn.saturating_add(1), 0),
            Some(part) if part < visible.output.grid.parts_per_segment() => (msn, part + 1),
            Some(_) => (msn.saturating_add(1), 1),
        };
        Some(match () {
            () if next >= wanted => Reload::Ready,
            // `next.0 - 1` is the last whole segment.
            () if msn > next.0 + 1 => Reload::TooFar,
            () => Reload::Wait,
        })
    }

    /// An initialization segment by the first number of its broadcast.
    pub fn init_segment(&self, first_sequence: u64, track: u8) -> Option<Media> {
        let broadcast = self.shown_broadcasts().find(|broadcast| broadcast.first_sequence == first_sequence)?;
        let track = broadcast.tracks.get(usize::from(track))?;
        Some(Media { audio: track.audio, parts: vec![track.init.clone()?], complete: true })
    }

    /// A part. Only the one that the playlist hints at is [`Lookup::Soon`].
    pub fn part(&self, track: u8, number: u64, part: u32) -> Lookup<Media> {
        let Some((broadcast, track, index)) = self.locate(track, number) else { return Lookup::Missing };
        let shown = broadcast.shown(track);
        if (index, part) == shown && !broadcast.ended {
            return Lookup::Soon;
        }
        let found = (index, part) < shown;
        match track.segment(index).filter(|_| found).and_then(|segment| segment.parts.get(part as usize)) {
            Some(part) => Lookup::Found(Media { audio: track.audio, parts: vec![part.data.clone()], complete: true }),
            None => Lookup::Missing,
        }
    }

    /// A segment's parts from part `from` on. The segment after the newest one is [`Lookup::Soon`], because a DASH client asks by its clock.
    pub fn segment(&self, track: u8, number: u64, from: usize) -> Lookup<Media> {
        let Some((broadcast, track, index)) = self.locate(track, number) else { return Lookup::Missing };
        let shown = broadcast.shown(track);
        let complete = index < shown.0;
        let begun = complete || (index == shown.0 && shown.1 > 0);
        if !begun {
            return if index <= shown.0 + 1 && !broadcast.ended { Lookup::Soon } else { Lookup::Missing };
        }
        match track.segment(index) {
            Some(segment) => Lookup::Found(Media {
                audio: track.audio,
                parts: segment.parts.iter().skip(from).map(|part| part.data.clone()).collect(),
                complete,
            }),
            None => Lookup::Missing,
        }
    }

    /// The newest playable broadcast.
    fn visible(&self) -> Option<&Broadcast> {
        self.shown_broadcasts().next_back()
    }

    fn shown_broadcasts(&self) -> impl DoubleEndedIterator<Item = &Broadcast> {
        self.broadcasts.iter().filter(|broadcast| broadcast.playable())
    }

    /// The visible broadcast and those before it that one playlist can list with it: same renditions, and the furthest of them goes up to
    /// the next broadcast's first number. Oldest first.
    fn continuous<'a>(&'a self, visible: &'a Broadcast) -> Vec<&'a Broadcast> {
        let mut chain = vec![visible];
        for earlier in self.shown_broadcasts().rev().skip(1) {
            let later = chain[chain.len() - 1];
            let joined = earlier.ended && earlier.first_sequence + earlier.longest() == later.first_sequence;
            if !joined || !earlier.same_layout(later) {
                break;
            }
            chain.push(earlier);
        }
        chain.reverse();
        chain
    }

    fn turned(&mut self) {
        self.version += 1;
        self.turn += 1;
    }

    fn locate(&self, track: u8, number: u64) -> Option<(&Broadcast, &Track, u64)> {
        let broadcast = self.shown_broadcasts().rev().find(|broadcast| broadcast.first_sequence <= number)?;
        let track = broadcast.tracks.get(usize::from(track))?;
        Some((broadcast, track, number - broadcast.first_sequence))
    }

    /// The current broadcast takes the place of those before it as soon as it is playable: they are over, also where nobody said so.
    fn supersede(&mut self) {
        let Some(current) = self.broadcasts.back().filter(|current| current.playable()) else { return };
        self.numbers.discontinuity_sequence = current.discontinuity_sequence + 1;
        let earlier = self.broadcasts.len() - 1;
        self.broadcasts.iter_mut().take(earlier).filter(|broadcast| !broadcast.ended).for_each(Broadcast::end);
    }

    fn drop_before(&mut self, oldest: u64) {
        let mut left = self.broadcasts.len();
        self.broadcasts.retain_mut(|broadcast| {
            left -= 1;
            !broadcast.drop_before(oldest) || left == 0
        });
    }
}
