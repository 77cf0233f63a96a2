/** HLS and LL-HLS by hls.js. */

import Hls, { ErrorDetails, ErrorTypes, Events, type ErrorData } from 'hls.js';
import workerPath from 'hls.js/dist/hls.worker.js?url';
import type { Address } from './address';
import { label, type Engine, type EngineEvents, type Level, type Problem } from './engine';

const UNSUPPORTED: readonly string[] = [
  ErrorDetails.MANIFEST_INCOMPATIBLE_CODECS_ERROR,
  ErrorDetails.BUFFER_ADD_CODEC_ERROR,
  ErrorDetails.BUFFER_INCOMPATIBLE_CODECS_ERROR,
];

function problem(data: ErrorData): Problem {
  const kind = UNSUPPORTED.includes(data.details) ? 'unsupported' : data.type === ErrorTypes.NETWORK_ERROR ? 'network' : 'media';
  return { kind, detail: `${data.type}/${data.details}` };
}

export function startHls(video: HTMLVideoElement, address: Address, events: EngineEvents): Engine {
  if (!Hls.isSupported()) throw new Error('Media Source Extensions are missing');
  const hls = new Hls({
    workerPath,
    lowLatencyMode: address.lowLatency,
    // Catches up after a hole without a seek; the pitch stays.
    maxLiveSyncPlaybackRate: 1.05,
    backBufferLength: 30,
    capLevelToPlayerSize: true,
    abrEwmaDefaultEstimate: 3_000_000,
    manifestLoadPolicy: {
      default: {
        maxTimeToFirstByteMs: 5_000,
        maxLoadTimeMs: 10_000,
        timeoutRetry: { maxNumRetry: 10, retryDelayMs: 0, maxRetryDelayMs: 0 },
        // The documented manifestLoadingMaxRetry 10 and manifestLoadingRetryDelay 1000; steady, not doubling.
        errorRetry: {
          maxNumRetry: 10,
          retryDelayMs: 1_000,
          maxRetryDelayMs: 1_000,
          backoff: 'linear',
          shouldRetry: (policy, count, _timeout, answer, retry) => retry || (answer?.code === 404 && count < (policy?.maxNumRetry ?? 0)),
        },
      },
    },
  });
  let levels: Level[] = [];
  const describe = () => {
    levels = hls.levels.map((level, index) => ({
      id: String(index),
      label: label(level.width, level.height, level.bitrate),
      bitrate: level.bitrate,
    }));
    events.levels();
  };
  hls.on(Events.MANIFEST_PARSED, describe);
  hls.on(Events.LEVELS_UPDATED, describe);
  hls.on(Events.LEVEL_SWITCHED, () => events.levels());
  hls.on(Events.ERROR, (_event, data) => (data.fatal ? events.failed(problem(data)) : events.trouble(problem(data))));
  hls.loadSource(address.master);
  hls.attachMedia(video);

  return {
    name: 'hls',
    get levels() {
      return levels;
    },
    get level() {
      return hls.currentLevel < 0 ? null : String(hls.currentLevel);
    },
    get chosen() {
      return hls.autoLevelEnabled ? null : String(hls.manualLevel);
    },
    latency: () => hls.latency || null,
    target: () => hls.targetLatency,
    choose(level) {
      hls.nextLevel = level === null ? -1 : Number(level);
      events.levels();
    },
    goLive() {
      if (hls.liveSyncPosition !== null) video.currentTime = hls.liveSyncPosition;
    },
    recover() {
      hls.recoverMediaError();
      return true;
    },
    destroy: () => hls.destroy(),
  };
}
