#!/usr/bin/env node
// Publishes by WHIP from headless Chromium with a fake camera and microphone, from a page of another origin, as a
// customer's page would; `publish.mjs` uses the page of the server.
//
//   node whip.mjs URL --camera FILE.mjpeg --microphone FILE.wav
//
// Prints a JSON line for each thing that happens: `answered` with what the page could read of the answer, `state` of the connection, and
// once a second `sent` with the frames that were encoded. Exit 1 when it was refused, 2 when it was cut off. SIGTERM ends it with a DELETE.

import { createServer } from 'node:http';
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { FAKE_CAMERA, launch } from './chromium.mjs';

const tell = (event, more = {}) => console.log(JSON.stringify({ event, ...more }));

/** Runs in the page. */
async function publish(url) {
  const media = await navigator.mediaDevices.getUserMedia({
    video: { width: 640, height: 360, frameRate: 30 },
    audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
  });
  const connection = new RTCPeerConnection();
  window.connection = connection;
  for (const track of media.getTracks()) {
    const transceiver = connection.addTransceiver(track, { direction: 'sendonly', streams: [media] });
    if (track.kind !== 'video') continue;
    const codecs = RTCRtpSender.getCapabilities('video').codecs;
    transceiver.setCodecPreferences(codecs.filter((codec) => codec.mimeType === 'video/H264'));
    // The rate of frames stays; the size gives way.
    track.contentHint = 'motion';
  }
  connection.onconnectionstatechange = () => window.tell('state', { state: connection.connectionState });
  await connection.setLocalDescription();
  const gathered = () => connection.iceGatheringState === 'complete';
  if (!gathered()) await new Promise((done) => (connection.onicegatheringstatechange = () => gathered() && done()));
  const answer = await fetch(url, {
    method: 'POST',
    headers: { 'Content-Type': 'application/sdp' },
    body: connection.localDescription.sdp,
  });
  const read = (name) => answer.headers.get(name);
  const location = read('Location');
  window.resource = location === null ? null : new URL(location, url).href;
  await window.tell('answered', {
    status: answer.status,
    reason: read('X-Reason-Code'),
    retry_after: read('Retry-After'),
    location: window.resource,
    etag: read('ETag'),
  });
  if (!answer.ok) return false;
  await connection.setRemoteDescription({ type: 'answer', sdp: await answer.text() });
  return true;
}

/** Frames that the page's encoder made so far. */
async function encoded() {
  let frames = 0;
  for (const entry of (await window.connection.getStats()).values())
    if (entry.type === 'outbound-rtp' && entry.kind === 'video') frames += entry.framesEncoded ?? 0;
  return frames;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { camera: { type: 'string' }, microphone: { type: 'string' } },
});
const [url] = positionals;

const server = createServer((_, answer) => answer.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>publisher</title>'));
server.listen(0, '127.0.0.1');
await once(server, 'listening');

const films = [`--use-file-for-fake-video-capture=${values.camera}`, `--use-file-for-fake-audio-capture=${values.microphone}`];
// It says good-bye before it goes.
const browser = await launch(undefined, [...FAKE_CAMERA, ...films], { handleSIGTERM: false });
// The context trusts the tests' own certificate.
const page = await (await browser.newContext({ ignoreHTTPSErrors: true })).newPage();
page.on('console', (message) => message.type() === 'error' && console.error(message.text()));
let over;
const ended = new Promise((resolve) => (over = resolve));
await page.exposeFunction('tell', (event, more) => {
  tell(event, more);
  if (event === 'state' && ['failed', 'closed'].includes(more.state)) over(2);
});
await page.goto(`http://127.0.0.1:${server.address().port}/`);
process.on('SIGTERM', async () => {
  await page.evaluate(() => window.resource && fetch(window.resource, { method: 'DELETE' })).catch(() => {});
  over(0);
});
browser.on('disconnected', () => over(3));
page.evaluate(publish, url).then(
  (admitted) => admitted || over(1),
  (fault) => {
    console.error(String(fault));
    over(4);
  },
);
const ticker = setInterval(() => page.evaluate(encoded).then((frames) => tell('sent', { frames }), () => {}), 1000);
const code = await ended;
clearInterval(ticker);
tell('over');
await browser.close().catch(() => {});
server.close();
process.exit(code);
