/** Bitrate and frames of the last two minutes, worked out from the counters that a stream's details bring. */

import type { Detail, Publisher, Slot } from '../types';

/** How far back is kept, seconds. */
export const SPAN = 120;
/** Counters come in steps: a rate is taken over so many seconds. */
const OVER = 3;

export interface Point {
  /** Seconds, of the page's clock. */
  readonly at: number;
  readonly value: number;
}

type Counters = { session: number; age: number; bytes: number; frames: number };

/** One slot's counters, and what they come to. */
class Input {
  #counters: Counters[] = [];
  readonly kbps: Point[] = [];
  readonly fps: Point[] = [];

  add(at: number, publisher: Publisher | null): void {
    forget(this.kbps, at);
    forget(this.fps, at);
    if (publisher === null) {
      this.#counters = [];
      return;
    }
    const { id: session, age_s: age, bytes, video_units: frames } = publisher;
    if (this.#counters[0]?.session !== session) this.#counters = [];
    this.#counters.push({ session, age, bytes, frames });
    // The oldest one that is needed is the newest that is far enough back.
    while (this.#counters.length > 2 && age - (this.#counters[1]?.age ?? age) >= OVER) this.#counters.shift();
    const first = this.#counters[0];
    if (first === undefined || age - first.age < 0.5) return;
    const seconds = age - first.age;
    this.kbps.push({ at, value: Math.max(0, ((bytes - first.bytes) * 8) / 1_000 / seconds) });
    this.fps.push({ at, value: Math.max(0, (frames - first.frames) / seconds) });
  }
}

function forget(points: Point[], now: number): void {
  while (points[0] !== undefined && points[0].at < now - SPAN - OVER) points.shift();
}

export class Series {
  readonly inputs: Record<Slot, Input> = { primary: new Input(), backup: new Input() };
  /** Encoder speed, 1 keeps up. */
  readonly speed: Point[] = [];

  add(at: number, detail: Detail): void {
    for (const { slot, session } of detail.slots) this.inputs[slot].add(at, session);
    forget(this.speed, at);
    if (detail.pipeline?.speed != null) this.speed.push({ at, value: detail.pipeline.speed });
  }
}
