/** DASH and LL-DASH by dash.js. */

import { MediaPlayer, type Representation } from 'dashjs';
import type { Address } from './address';
import { label, type Engine, type EngineEvents, type Level, type Problem } from './engine';

/** Error codes of dash.js that end playback; after all others (a segment that could not be had, say) it goes on by itself. */
const FATAL: readonly number[] = [
  10, 11, 25, 31, // the MPD: not parsable, not loadable
  20, // a segment that the source buffer refuses
];
const UNSUPPORTED: readonly number[] = [23, 32]; // no MSE; no stream that the browser can play

export function startDash(video: HTMLVideoElement, address: Address, events: EngineEvents): Engine {
  const player = MediaPlayer().create();
  player.updateSettings({
    streaming: {
      // The documented retry settings under the names of dash.js 5.
      retryAttempts: { MPD: 100, MediaSegment: 10, InitializationSegment: 10, lowLatencyMultiplyFactor: 1 },
      retryIntervals: { MPD: 1_000, MediaSegment: 1_000, InitializationSegment: 1_000, lowLatencyReductionFactor: 1 },
      abr: { limitBitrateByPortal: true, usePixelRatioInLimitBitrateByPortal: true },
      buffer: { bufferToKeep: 30, bufferPruningInterval: 10 },
      ...(address.lowLatency
        ? { liveCatchup: { enabled: true, playbackRate: { min: -0.05, max: 0.05 } } }
        : { applyServiceDescription: false, delay: { liveDelay: 6 }, liveCatchup: { enabled: false } }),
    },
  });

  let chosen: string | null = null;
  let level: string | null = null;
  let levels: Level[] = [];
  const on = MediaPlayer.events;
  const describe = (representation: Representation): Level => ({
    id: representation.id,
    label: label(representation.width, representation.height, representation.bandwidth),
    bitrate: representation.bandwidth,
  });
  player.on(on.STREAM_INITIALIZED, () => {
    levels = player.getRepresentationsByType('video').map(describe);
    level = player.getCurrentRepresentationForType('video')?.id ?? null;
    events.levels();
  });
  player.on(on.QUALITY_CHANGE_RENDERED, (event) => {
    if (event.mediaType !== 'video') return;
    level = event.newRepresentation.id;
    events.levels();
  });
  player.on(on.ERROR, (event: unknown) => {
    const { code, message } = (event as { error?: { code?: number; message?: string } }).error ?? {};
    const unsupported = code !== undefined && UNSUPPORTED.includes(code);
    const problem: Problem = { kind: unsupported ? 'unsupported' : 'network', detail: `${code ?? '?'}/${message ?? ''}` };
    if (unsupported || (code !== undefined && FATAL.includes(code))) events.failed(problem);
    else events.trouble(problem);
  });
  player.on(on.PLAYBACK_ERROR, () => events.failed({ kind: 'media', detail: `media/${video.error?.message ?? ''}` }));
  player.initialize(video, new URL(address.mpd, location.href).href, false);
  // The clock comes from the MPD (UTCTiming, else its Date header), never from another host. `initialize` sets the default again.
  player.clearDefaultUTCTimingSources();

  return {
    name: 'dash',
    get levels() {
      return levels;
    },
    get level() {
      return level;
    },
    get chosen() {
      return chosen;
    },
    latency() {
      const latency = player.isReady() ? player.getCurrentLiveLatency() : NaN;
      return Number.isFinite(latency) && latency > 0 ? latency : null;
    },
    target() {
      const target = player.isReady() ? player.getTargetLiveDelay() : NaN;
      return Number.isFinite(target) && target > 0 ? target : null;
    },
    choose(id) {
      chosen = id;
      player.updateSettings({ streaming: { abr: { autoSwitchBitrate: { video: id === null } } } });
      if (id !== null) player.setRepresentationForTypeById('video', id);
      events.levels();
    },
    goLive: () => player.seekToOriginalLive(),
    recover: () => false,
    destroy() {
      // Spends the callback that dash.js may still have waiting for data; later it would act on a player that is gone.
      video.dispatchEvent(new Event('canplay'));
      player.destroy();
    },
  };
}
