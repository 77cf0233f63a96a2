#!/usr/bin/env node
// Goes live from a publish page in headless Chromium with a made-up camera, and stays until its input ends or it is killed.
//
//   node publish.mjs URL [--size 1280x720] [--scheme dark|light] [--screenshot out.png]
//
// Prints one JSON object a line whenever the page says something else: {state, status, figures}, and {pid} of the browser first. Exit 0: asked to end.

import { parseArgs } from 'node:util';
import { FAKE_CAMERA, launch } from './chromium.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { size: { type: 'string', default: '1280x720' }, scheme: { type: 'string', default: 'dark' }, screenshot: { type: 'string' } },
});
const [url] = positionals;
if (url === undefined) {
  console.error('usage: publish.mjs URL [--size WxH] [--scheme dark|light] [--screenshot out.png]');
  process.exit(2);
}

const browser = await launch(undefined, FAKE_CAMERA);
const [width, height] = values.size.split('x').map(Number);
const page = await browser.newPage({ viewport: { width, height }, colorScheme: values.scheme });
const problems = [];
page.on('pageerror', (error) => problems.push(String(error)));
page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
let ended = false;
process.stdin.on('end', () => (ended = true)).resume();

await page.goto(url, { waitUntil: 'load' });
await page.getByRole('button', { name: 'Use camera and microphone' }).click();
await page.getByRole('button', { name: 'Go live' }).click();
let last = '';
while (!ended) {
  const seen = await page.evaluate(() => ({
    state: document.getElementById('publish').dataset.state,
    status: document.getElementById('status').textContent,
    figures: [...document.querySelectorAll('#figures dd')].map((figure) => figure.textContent),
  }));
  const line = JSON.stringify({ ...seen, problems });
  if (line !== last) console.log(line);
  last = line;
  await page.waitForTimeout(200);
}
if (values.screenshot !== undefined) await page.screenshot({ path: values.screenshot, fullPage: true });
const stop = page.getByRole('button', { name: 'End broadcast' });
if (await stop.isVisible()) await stop.click();
await page.waitForTimeout(500);
await browser.close();
