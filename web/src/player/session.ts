/**
 * Keeps one stream on the screen: waits for it, plays it, brings it back after every failure, and waits for the next broadcast
 * after the end. The rule is the same for every engine: the server is asked what there is (`probe`), and an engine that makes
 * no progress is replaced.
 */

import type { Address, EngineName } from './address';
import { load, type Engine, type Problem } from './engine';
import { probe } from './probe';
import { StallMeter, type Stall } from './stalls';

export type State = 'waiting' | 'starting' | 'live' | 'behind' | 'paused' | 'ended' | 'error';

/** Why the state is `error`; the view has the words. */
export type Fault = 'unreachable' | 'refused' | 'failing' | 'unsupported' | 'address';

const POLL_MS = 3_000;
const TICK_MS = 250;
/** Without progress for so long, the server is asked what there is. */
const DOUBT_MS = 3_000;
/** Without progress for so long, the engine is replaced. */
const HANG_MS = 12_000;
const HANG_AT_START_MS = 20_000;
/** Playing for so long without a failure forgives the earlier ones. */
const STEADY_MS = 10_000;
/** After a longer pause playback goes on at the live edge: what stood there may have left the playlist. */
const LONG_PAUSE_MS = 15_000;
/** Seconds beyond the target latency: `behind`, live again, and so far that the player returns by itself. */
const BEHIND = 4;
const CAUGHT_UP = 2;
const LOST = 15;
const ERRORS_KEPT = 100;

export class Session {
  state: State = 'waiting';
  fault: Fault | null = null;
  engine: Engine | null = null;
  engineName: EngineName;
  readonly errors: string[] = [];
  /** Fatal errors of an engine since the page was opened. */
  fatal = 0;
  private readonly meter: StallMeter;
  private work = new AbortController();
  private timer = 0;
  private failures = 0;
  private recovered = false;
  private position = 0;
  /** Small steps of the position in a row since the engine started. */
  private steps = 0;
  private progressAt = 0;
  private steadySince = 0;
  private playing = false;
  private probing = false;
  private pausedAt = 0;
  /** The viewer chose to be behind (by a pause); only then is the player not sent back to the live edge. */
  private lingering = false;

  constructor(
    private readonly video: HTMLVideoElement,
    private readonly address: Address,
    private readonly changed: () => void,
  ) {
    this.engineName = address.engine;
    this.meter = new StallMeter(video, () => this.playing);
    // Not before: dash.js starts to refresh its MPD at the `play` event of the element that it holds.
    video.addEventListener('loadedmetadata', () => this.play());
    video.addEventListener('ended', () => this.engine && this.enterEnded());
    video.addEventListener('pause', () => this.onPause());
    video.addEventListener('play', () => this.onPlay());
    setInterval(() => this.tick(performance.now()), TICK_MS);
    window.addEventListener('online', () => this.state === 'error' && this.retry());
  }

  get stalls(): readonly Stall[] {
    return this.meter.stalls;
  }

  /** Seconds behind the live edge while something plays. */
  get latency(): number | null {
    return this.playing ? (this.engine?.latency() ?? null) : null;
  }

  /** Starts over, with what the server has now. */
  retry(): void {
    this.close();
    this.enter('starting');
    void this.look();
  }

  use(engine: EngineName): void {
    if (engine === this.engineName) return;
    this.engineName = engine;
    this.retry();
  }

  goLive(): void {
    this.lingering = false;
    this.engine?.goLive();
    this.play();
  }

  play(): void {
    this.video.play().catch((cause: unknown) => {
      // Sound needs a gesture of the viewer: start without it rather than not at all.
      if (!(cause instanceof DOMException) || cause.name !== 'NotAllowedError') return;
      this.video.muted = true;
      this.video.play().catch((refusal: unknown) => {
        // Not even that (a phone that saves power): the viewer gets a button.
        if (refusal instanceof DOMException && refusal.name === 'NotAllowedError') this.enter('paused');
      });
    });
  }

  private enter(state: State, fault: Fault | null = null): void {
    if (state === this.state && fault === this.fault) return;
    this.state = state;
    this.fault = fault;
    this.changed();
  }

  /** Ends whatever is under way: engine, requests, timer. */
  private close(): void {
    this.work.abort();
    this.work = new AbortController();
    clearTimeout(this.timer);
    this.playing = false;
    const engine = this.engine;
    this.engine = null;
    engine?.destroy();
  }

  private later(ms: number): void {
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => void this.look(), ms);
  }

  /** Asks the server, then plays or waits. */
  private async look(): Promise<void> {
    const { signal } = this.work;
    // Fetches the engine while the server answers.
    const loading = load(this.engineName);
    loading.catch(() => undefined);
    const found = await probe(this.address.master, signal).catch(() => null);
    if (found === null || signal.aborted) return;
    switch (found) {
      case 'live':
        return this.open(loading, signal);
      case 'ended':
        this.enter('ended');
        break;
      case 'absent':
        this.enter(this.state === 'ended' ? 'ended' : 'waiting');
        break;
      default:
        this.enter('error', found);
    }
    this.later(POLL_MS);
  }

  private async open(loading: ReturnType<typeof load>, signal: AbortSignal): Promise<void> {
    this.enter('starting');
    try {
      const start = await loading;
      if (signal.aborted) return;
      this.position = this.video.currentTime;
      this.progressAt = performance.now();
      this.steps = 0;
      this.recovered = false;
      this.lingering = false;
      this.engine = start(this.video, this.address, {
        levels: () => this.changed(),
        trouble: (problem) => this.note(problem.detail),
        failed: (problem) => !signal.aborted && this.onFailed(problem),
      });
    } catch (cause) {
      this.note(String(cause));
      if (this.engineName === 'hls' && !('MediaSource' in window || 'ManagedMediaSource' in window)) this.enter('error', 'unsupported');
      else this.reopen();
    }
  }

  private note(detail: string): void {
    this.errors.push(detail);
    if (this.errors.length > ERRORS_KEPT) this.errors.shift();
  }

  private onFailed(problem: Problem): void {
    this.fatal += 1;
    this.note(`fatal ${problem.detail}`);
    if (problem.kind === 'unsupported') {
      this.close();
      this.enter('error', 'unsupported');
    } else if (problem.kind === 'media' && !this.recovered && this.engine?.recover()) {
      this.recovered = true;
    } else {
      this.reopen();
    }
  }

  /** Replaces the engine: at once the first time, then after 1, 2, 4, 8 s. */
  private reopen(): void {
    this.close();
    this.failures += 1;
    if (this.failures > 2) this.enter('error', 'failing');
    else this.enter('starting');
    this.later(this.failures === 1 ? 0 : Math.min(8, 2 ** (this.failures - 2)) * 1_000);
  }

  private enterEnded(): void {
    this.close();
    this.enter('ended');
    this.later(POLL_MS);
  }

  private onPause(): void {
    this.pausedAt = performance.now();
  }

  private onPlay(): void {
    if (!this.playing) {
      // The gesture that a start without sound waited for: what was loaded meanwhile is old.
      if (this.state === 'paused') this.engine?.goLive();
      this.progressAt = performance.now();
      return;
    }
    if (this.pausedAt === 0) return;
    const away = performance.now() - this.pausedAt;
    this.pausedAt = 0;
    this.progressAt = performance.now();
    this.lingering = away < LONG_PAUSE_MS;
    if (!this.lingering) this.engine?.goLive();
  }

  private tick(now: number): void {
    const { engine, video } = this;
    if (engine === null) return;
    if (video.paused && (this.playing || this.state === 'paused')) {
      if (!video.ended) this.enter('paused');
      return;
    }
    if (video.currentTime !== this.position && video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA && !video.seeking) {
      const step = video.currentTime - this.position;
      this.position = video.currentTime;
      this.progressAt = now;
      if (!this.playing) {
        // A seek moves the position too, but by a jump; playback moves it by small steps.
        this.steps = step > 0 && step < 1 ? this.steps + 1 : 0;
        this.playing = this.steps >= 2;
        this.steadySince = now;
      }
    }
    const still = now - this.progressAt;
    if (this.playing && still < DOUBT_MS) this.judgeLatency(engine);
    if (now - this.steadySince > STEADY_MS && still < TICK_MS * 2 && this.playing) this.failures = 0;
    if (still > (this.playing ? HANG_MS : HANG_AT_START_MS)) {
      this.note('no progress');
      this.reopen();
    } else if (still > DOUBT_MS) {
      void this.doubt();
    }
  }

  private judgeLatency(engine: Engine): void {
    const over = (engine.latency() ?? 0) - (engine.target() ?? 0);
    if (over > LOST && !this.lingering) engine.goLive();
    const behind = over > (this.state === 'behind' ? CAUGHT_UP : BEHIND);
    if (!behind) this.lingering = false;
    this.enter(behind ? 'behind' : 'live');
  }

  /** The picture stands still: is there still something to play? */
  private async doubt(): Promise<void> {
    if (this.probing) return;
    this.probing = true;
    const { signal } = this.work;
    const found = await probe(this.address.master, signal).catch(() => null);
    window.setTimeout(() => (this.probing = false), POLL_MS);
    if (signal.aborted || performance.now() - this.progressAt < DOUBT_MS) return;
    if (found === 'ended') this.enterEnded();
    if (found === 'absent') this.retry();
  }
}
