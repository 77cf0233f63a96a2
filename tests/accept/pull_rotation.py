"""The line about several sources: each dies in its own way, the next one is on air, and round to the first.

Allowance of a change: 3.0 s of missing media, the way to the next source (`CONNECT`), and its next keyframe (`GOP`). It is measured in what is
delivered, as the time that the last picture of the one source is held until the first of the other.
"""

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor

import hls
import pull_origins as origins
import pull_reading as reading
import pull_stream
from continuity import ManifestWatch
from doors import SHORT_LEAST_NEW
from failover_faults import Page, broadcast_of, media_text
from failover_reading import Sound, pictures
from pull_stream import CONNECT, GOP, STALL, VIEW, PullWatch
from report import Figure, at_most, empty, equal, pressure, unless_starved, wait_until, within
from server import Http, Weir

STEADY = 10.0  # seconds of each source
DEAD, ENDED = 30.0, 90.0  # seconds without any source
LINGER = 60.0  # seconds, the default
ENDED_EARLY, ENDED_LATE = 0.5, 6.0  # the last media left a little before its source has died
PAGE_BEFORE, PAGE_AFTER = 12.0, 40.0  # seconds that the page plays, before all are dead and after they are back
CHANGE = STALL + CONNECT + GOP


def pull_rotation(short):
    """Sources of a list killed one after the other, then all: which is on air and how soon, by picture and tone; manifests, and an open page."""
    sent = [reading.source(number) for number in range(2 if short else 3)]
    for programme in sent:
        _ = programme.flv, programme.ts, programme.source.own_offset
    with Weir("pull_rotation", pull_stream.settings()) as weir, contextlib.ExitStack() as running:
        sources = [origins.Nginx(sent[0], "stream123"), origins.Nginx(sent[1], "stream123_backup")]
        if not short:
            sources.append(origins.Srt(sent[2], query="mode=caller&latency=200000&streamid=stream123"))
        for source in sources:
            running.enter_context(source)
        run = Run(weir, sources, running)
        changes = run.first_dies() if short else run.round_and_dead()
        figures = [run.finish(), *run.changes_told(changes), *recording_figures(run, sent, changes, SHORT_LEAST_NEW if short else None)]
        if not short:
            figures += run.ended()
    return figures + [pressure()]


class Run:
    """A stream that is pulled from all sources, on air from the first and watched."""

    def __init__(self, weir, sources, running):
        self.weir, self.sources = weir, sources
        self.stream = pull_stream.create(weir, *(source.uri for source in sources))
        self.watch = PullWatch(weir, self.stream)
        self.watch.start()
        self.watch.wait("source", 0, 15)
        weir.wait_playable(self.stream, 30)
        presentation = hls.Presentation(weir.http, self.stream["hls_cmaf_url"])
        self.files = [weir.dir / "video.mp4", weir.dir / "audio.mp4"]
        self.recorder = hls.Recorder(presentation, dict(zip((presentation.variants[0].url, presentation.audio), self.files)))
        self.manifests = ManifestWatch(Http(), self.stream)
        for thread in (self.recorder, self.manifests):
            thread.start()
        for thread in (self.watch, self.recorder, self.manifests):
            running.callback(thread.ending.set)

    def change(self, number, kill):
        """Waits until the next source is on air; (its number, seconds of the operator's view, seconds that nothing could be pulled)."""
        killed = time.monotonic()
        kill()
        took = self.watch.wait("source", number, 20, killed) - killed
        time.sleep(STEADY)  # is recorded
        return number, took, 0.0

    def first_dies(self):
        time.sleep(STEADY)  # is recorded
        return [self.change(1, self.sources[0].kill)]

    def round_and_dead(self):
        """The server of the first dies, the encoder of the second, the third while the first is back; then all."""
        time.sleep(STEADY)  # is recorded
        changes = [self.change(1, self.sources[0].kill), self.change(2, self.sources[1].kill_encoder)]
        self.sources[0].start()
        changes.append(self.change(0, self.sources[2].kill))
        killed = self.die([self.sources[0], self.sources[1]])
        back = self.return_after(killed, DEAD)
        # Some may be back a moment before all are.
        number, at = wait_until("a source after the return", 20, lambda: next(
            ((value, at) for at, value in self.watch.seen["source"] if value is not None and at > killed), None))
        time.sleep(STEADY)  # is recorded
        return [*changes, (number, at - back, back - killed)]

    def die(self, alive):
        killed = time.monotonic()
        for source in alive:
            source.kill()
        return killed

    def return_after(self, killed, seconds):
        """All at once, so that whichever is asked next answers; when they were back."""
        time.sleep(max(0.0, killed + seconds - time.monotonic()))  # there is no source
        with ThreadPoolExecutor(len(self.sources)) as pool:
            list(pool.map(lambda source: source.start(), self.sources))
        return time.monotonic()

    def finish(self):
        self.recorder.finish()
        figure = self.manifests.finish()
        self.watch.finish()
        self.weir.alive()
        return figure

    def changes_told(self, changes):
        """By the operator's view and the journal."""
        on = [entry["source"] for entry in pull_stream.pull_entries(self.weir, self.stream) if entry.get("state") == "on"]
        expected = [0, *(number for number, _, _ in changes)]
        return [
            *(unless_starved(at_most(f"change {place}, to source {number + 1}: by the operator's view after the " + ("return" if dead else "kill"), took, CHANGE + VIEW, "s"))
              for place, (number, took, dead) in enumerate(changes, 1)),
            equal("sources that delivered, by the journal", on, expected),
        ]

    def ended(self):
        """All dead for longer than the linger, and back, with a page open."""
        page = Page(self.stream, PAGE_BEFORE + ENDED + PAGE_AFTER, "pull_rotation")
        page.start()
        time.sleep(PAGE_BEFORE)  # is played
        before = broadcast_of(media_text(self.weir, self.stream))
        killed = self.die(self.sources)
        wait_until("ENDLIST", LINGER + ENDED_LATE + 5, lambda: "#EXT-X-ENDLIST" in media_text(self.weir, self.stream))
        ended = time.monotonic() - killed
        back = self.return_after(killed, ENDED)

        def another():
            text = media_text(self.weir, self.stream)
            return "#EXT-X-ENDLIST" not in text and broadcast_of(text) != before and broadcast_of(text)
        after = wait_until("the next broadcast", 30, another)
        took = time.monotonic() - back
        moves = page.moves_at_the_end()
        states = [state["state"] for state in page.seen["states"]]
        resumed = "ended" in states and "live" in states[states.index("ended"):] and moves
        return [
            within("all dead: ENDLIST after", ended, LINGER - ENDED_EARLY, LINGER + ENDED_LATE),
            Figure(f"all dead {ENDED:g} s: the next broadcast in the playlists after the return", f"{took:.2f} s, {before} to {after}"),
            Figure("all dead: the open page shows the end, then the next broadcast by itself", ", ".join(states), "ended, … live", resumed),
        ]


def recording_figures(run, sent, changes, least_new):
    """What is seen and heard of it."""
    shown, sound = reading.marked(pictures(run.files[0])), Sound(run.files[1])
    heard = reading.tones(Sound(run.files[1], reading.RATE))
    found = reading.stretches(shown)
    expected = [reading.NAMES[number] for number in (0, *(number for number, _, _ in changes))]
    figures = [
        equal("sources in the recording by their pictures, in order", [stretch.source for stretch in found], expected),
        equal("sources in the recording by their tones, in order", reading.sounding_order(heard), expected),
    ]
    if [stretch.source for stretch in found] != expected:
        return figures
    for place, (stretch, (number, _, dead)) in enumerate(zip(found[1:], changes), 1):
        held = f"{stretch.gap:.2f} s" + (f", less {dead:.2f} s without any source" if dead else "")
        figures.append(unless_starved(
            Figure(f"change {place}, to source {number + 1}: the last picture is held", held, f"≤ {CHANGE:g} s", stretch.gap - dead <= CHANGE)))
    faults = []
    for stretch in found:
        source = sent[reading.NAMES.index(stretch.source)].source
        faults += reading.stretch_faults(stretch, heard, sound.beeps, source, least_new)
    figures.append(empty("faults of picture, tone and sync in what each source delivered", faults))
    return figures
