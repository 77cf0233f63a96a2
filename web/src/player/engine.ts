/** What the session needs of a playback library. One engine value plays one broadcast once; a restart takes a new one. */

import type { Address, EngineName } from './address';

export interface Level {
  /** Stable for the life of the engine. */
  readonly id: string;
  readonly label: string;
  /** Bits per second. */
  readonly bitrate: number;
}

export interface Problem {
  readonly kind: 'network' | 'media' | 'unsupported';
  /** The library's own name of it, for logs and tests. */
  readonly detail: string;
}

export interface EngineEvents {
  /** Levels or the level being played changed. */
  levels(): void;
  /** Something failed and the library goes on by itself. */
  trouble(problem: Problem): void;
  /** Playback cannot go on without help. */
  failed(problem: Problem): void;
}

export interface Engine {
  readonly name: EngineName;
  readonly levels: readonly Level[];
  /** The level on screen, null before the first. */
  readonly level: string | null;
  /** Null: the library chooses. */
  readonly chosen: string | null;
  /** Seconds behind the live edge, null while unknown. */
  latency(): number | null;
  /** The latency aimed at, seconds. */
  target(): number | null;
  choose(level: string | null): void;
  goLive(): void;
  /** Tries to go on after a media error, keeping the buffer's place. False: it cannot. */
  recover(): boolean;
  destroy(): void;
}

export type Start = (video: HTMLVideoElement, address: Address, events: EngineEvents) => Engine;

/** Loads an engine's chunk. */
export async function load(name: EngineName): Promise<Start> {
  return name === 'dash' ? (await import('./dash')).startDash : (await import('./hls')).startHls;
}

/** `720p` of a landscape or portrait picture: the short side. */
export function label(width: number, height: number, bitrate: number): string {
  const side = Math.min(width, height) || height;
  return side > 0 ? `${side}p` : `${Math.round(bitrate / 1000)} kbit/s`;
}
