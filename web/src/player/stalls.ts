/** Counts what a viewer notices: the picture stood still for more than 400 ms although it should have moved. */

const STALL_MS = 400;
const SAMPLE_MS = 100;

export interface Stall {
  /** Media position, seconds. */
  readonly at: number;
  /** How long it stood still. */
  ms: number;
}

export class StallMeter {
  readonly stalls: Stall[] = [];
  private position = -1;
  private since = 0;
  private open: Stall | null = null;

  constructor(
    private readonly video: HTMLVideoElement,
    private readonly expected: () => boolean,
  ) {
    setInterval(() => this.sample(performance.now()), SAMPLE_MS);
  }

  private sample(now: number): void {
    const { currentTime, paused, seeking } = this.video;
    if (currentTime !== this.position || paused || seeking || !this.expected()) {
      this.position = currentTime;
      this.since = now;
      this.open = null;
      return;
    }
    const ms = now - this.since;
    if (ms <= STALL_MS) return;
    if (this.open === null) {
      this.open = { at: currentTime, ms };
      this.stalls.push(this.open);
      if (this.stalls.length > 100) this.stalls.shift();
    }
    this.open.ms = ms;
  }
}
