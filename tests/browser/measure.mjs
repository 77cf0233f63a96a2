#!/usr/bin/env node
// Opens a player page in headless Chromium and prints, as one JSON object, what a viewer would have noticed.
//
//   node measure.mjs URL [--seconds 60] [--mode ll|hls|ll-dash|dash] [--av] [--numbers] [--size 1280x720] [--screenshot out.png]
//
// Exit 0: measured (also when the figures are bad: the caller judges them). Exit 2: wrong arguments. Exit 1: no measurement.

import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { launch } from './chromium.mjs';
import { watchPressure } from './pressure.mjs';

const OBSERVER = fileURLToPath(new URL('./observer.js', import.meta.url));
const MODES = {
  ll: {},
  hls: { no_low_latency: '1' },
  'll-dash': { engine: 'dash' },
  dash: { engine: 'dash', no_low_latency: '1' },
};

/**
 * @param {string} url player page
 * @param {{seconds?: number, mode?: 'll'|'hls'|'ll-dash'|'dash', av?: boolean, numbers?: boolean, width?: number, height?: number, screenshot?: string}} [options]
 */
export async function measure(url, { seconds = 60, mode = 'll', av = false, numbers = false, width = 1280, height = 720, screenshot } = {}) {
  const page_url = new URL(url);
  for (const [key, value] of Object.entries(MODES[mode])) page_url.searchParams.set(key, value);
  if (av) page_url.searchParams.set('muted', '0');

  const browser = await launch();
  try {
    const page = await browser.newPage({ viewport: { width, height } });
    const consoleErrors = [];
    const pageErrors = [];
    const refused = {};
    const deltas = { asked: 0, given: 0 };
    page.on('console', (message) => message.type() === 'error' && consoleErrors.push(message.text()));
    page.on('pageerror', (error) => pageErrors.push(String(error)));
    page.on('response', (answer) => {
      if (answer.url().includes('_HLS_skip=')) {
        deltas.asked += 1;
        // A body that is gone with its page is not counted.
        answer.text().then((text) => (deltas.given += Number(text.includes('#EXT-X-SKIP:'))), () => {});
      }
      if (answer.status() < 400) return;
      const key = `${answer.status()} ${new URL(answer.url()).pathname}`;
      refused[key] = (refused[key] ?? 0) + 1;
    });
    await page.addInitScript({ path: OBSERVER });
    const pressure = watchPressure();
    await page.goto(page_url.href, { waitUntil: 'load' });
    if (av) await page.evaluate(() => window.watchFlashAndBeep());
    if (numbers) await page.evaluate(() => window.watchNumbers());
    await page.waitForTimeout(seconds * 1_000);

    const seen = await page.evaluate(() => {
      const video = document.querySelector('video');
      const quality = video?.getVideoPlaybackQuality();
      return {
        ...window.observed,
        state: window.weir?.state ?? null,
        engine: window.weir?.engine ?? null,
        latency: window.weir?.latency ?? null,
        fatal: window.weir?.fatal ?? null,
        errors: [...(window.weir?.errors ?? [])],
        resolution: video ? `${video.videoWidth}x${video.videoHeight}` : null,
        frames: quality ? { total: quality.totalVideoFrames, dropped: quality.droppedVideoFrames } : null,
        flashAndBeep: window.flashAndBeep?.() ?? null,
        numbers: window.numbers?.() ?? null,
      };
    });
    if (screenshot !== undefined) await page.screenshot({ path: screenshot });
    const psi = await pressure.stop();
    const { flashAndBeep, numbers: shown, ...rest } = seen;
    return {
      url: page_url.href,
      mode,
      seconds,
      void: psi.void,
      psi,
      ...rest,
      stalledMs: seen.stalls.reduce((sum, stall) => sum + stall.ms, 0),
      consoleErrors,
      pageErrors,
      refused,
      deltas,
      ...(flashAndBeep === null ? {} : { av: summary(flashAndBeep.map((pair) => pair.offsetMs)) }),
      ...(shown === null ? {} : { numbers: shown }),
      screenshot: screenshot ?? null,
    };
  } finally {
    await browser.close();
  }
}

function summary(offsets) {
  if (offsets.length === 0) return { pairs: 0, medianMs: null, minMs: null, maxMs: null };
  const sorted = [...offsets].sort((a, b) => a - b);
  return { pairs: sorted.length, medianMs: sorted[sorted.length >> 1], minMs: sorted[0], maxMs: sorted.at(-1) };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  let parsed;
  try {
    parsed = parseArgs({
      allowPositionals: true,
      options: {
        seconds: { type: 'string', default: '60' },
        mode: { type: 'string', default: 'll' },
        av: { type: 'boolean', default: false },
        numbers: { type: 'boolean', default: false },
        size: { type: 'string', default: '1280x720' },
        screenshot: { type: 'string' },
      },
    });
    const [width, height] = parsed.values.size.split('x').map(Number);
    const [url] = parsed.positionals;
    if (!url || !(parsed.values.mode in MODES) || !(width > 0 && height > 0) || !(Number(parsed.values.seconds) > 0)) throw new Error('wrong arguments');
    parsed = { url, options: { ...parsed.values, seconds: Number(parsed.values.seconds), width, height } };
  } catch (error) {
    console.error(`${error.message}\nusage: measure.mjs URL [--seconds 60] [--mode ll|hls|ll-dash|dash] [--av] [--numbers] [--size 1280x720] [--screenshot out.png]`);
    process.exit(2);
  }
  console.log(JSON.stringify(await measure(parsed.url, parsed.options), null, 2));
}
