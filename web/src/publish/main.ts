/** The publish page: joins camera, WHIP client and what is seen of both. */

import { parseAddress } from './address';
import * as camera from './camera';
import { Meter } from './figures';
import { type Refusal, type State, Whip } from './whip';
import { mediaWords, refusalWords } from './words';

function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`no #${id}`);
  return element as T;
}

const BADGES: Record<State, string> = { idle: 'Off air', connecting: 'Connecting', live: 'On air', waiting: 'Interrupted' };

const address = parseAddress(location);
const page = byId('publish');
const preview = byId<HTMLVideoElement>('preview');
const cameras = byId<HTMLSelectElement>('camera');
const microphones = byId<HTMLSelectElement>('microphone');
const token = byId<HTMLInputElement>('token');
const go = byId<HTMLButtonElement>('go');
const stop = byId<HTMLButtonElement>('stop');
const meter = byId<HTMLMeterElement>('level');

let stream: MediaStream | null = null;
let whip: Whip | null = null;
let state: State = 'idle';
let since = 0;
let figures = new Meter();
let loudness: camera.Loudness | null = null;
let awake: WakeLockSentinel | null = null;

function say(text: string, tone: 'plain' | 'bad' = 'plain'): void {
  const status = byId('status');
  status.textContent = text;
  status.dataset['tone'] = tone;
}

function show(next: State): void {
  state = next;
  page.dataset['state'] = next;
  byId('badge-text').textContent = BADGES[next];
  const running = next !== 'idle';
  go.hidden = running;
  stop.hidden = !running;
  token.disabled = running;
  byId('figures').hidden = !running;
  if (next === 'live') {
    since = Date.now();
    say('You are on air.');
    void navigator.wakeLock?.request('screen').then((lock) => (awake = lock), () => {});
  } else if (next === 'connecting') say('Connecting to the server …');
  else if (next === 'idle') {
    void awake?.release();
    awake = null;
    figures = new Meter();
  }
}

/** The button may be pressed. */
function ready(): void {
  go.disabled = stream === null || address === null;
}

async function useCamera(): Promise<void> {
  const before = stream;
  byId('prompt').dataset['busy'] = '';
  try {
    // Many machines open a device once only.
    if (before !== null && state === 'idle') camera.close(before);
    stream = await camera.open({ camera: cameras.value, microphone: microphones.value });
    if (before !== null) camera.close(before);
    preview.srcObject = stream;
    byId('prompt').hidden = true;
    loudness ??= new camera.Loudness();
    loudness.listen(stream);
    await Promise.all([camera.list(cameras, 'videoinput', stream), camera.list(microphones, 'audioinput', stream)]);
    await whip?.replace(stream);
    if (state === 'idle') say(token.value === '' ? 'Enter the stream token, then go live.' : 'Ready. Press “Go live” to begin.');
  } catch (error) {
    if (state === 'idle') stream = null;
    byId('prompt').hidden = stream !== null;
    say(mediaWords(error), 'bad');
  }
  delete byId('prompt').dataset['busy'];
  ready();
}

function refused(refusal: Refusal): void {
  say(refusalWords(refusal), 'bad');
  if (refusal.reason === '2002' || refusal.reason === '2001') {
    byId('token-field').hidden = false;
    token.focus();
    token.select();
  }
  if (refusal.retryAfter === null) return;
  go.disabled = true;
  setTimeout(ready, refusal.retryAfter * 1000);
}

function begin(): void {
  if (address === null || stream === null || whip !== null) return;
  whip = new Whip(address.endpoint, token.value.trim(), stream, {
    state: (next) => {
      if (next === 'idle') whip = null;
      show(next);
    },
    refused,
    broken: (pause) => say(`The connection broke. Trying again in ${Math.round(pause / 1000)} s.`, 'bad'),
  });
  whip.start();
}

function put(id: string, text: string | null): void {
  byId(id).textContent = text ?? '–';
}

async function tick(): Promise<void> {
  const connection = whip?.connection;
  if (state !== 'live' || connection == null) return;
  const read = await figures.read(connection);
  const seconds = Math.floor((Date.now() - since) / 1000);
  put('elapsed', `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`);
  put('size', read.size);
  put('fps', read.fps === null ? null : `${Math.round(read.fps)} fps`);
  put('bitrate', read.kbps === null ? null : read.kbps >= 1000 ? `${(read.kbps / 1000).toFixed(1)} Mbit/s` : `${Math.round(read.kbps)} kbit/s`);
  put('rtt', read.rttMs === null ? null : `${Math.round(read.rttMs)} ms`);
  put('loss', read.lossPercent === null ? null : `${read.lossPercent.toFixed(1)} %`);
}

if (address === null) {
  say('No stream at this address. Check the link that you were given.', 'bad');
  byId('prompt').hidden = true;
} else {
  byId('stream').textContent = `· stream ${address.id}`;
  byId<HTMLAnchorElement>('watch').href = address.watch;
  token.value = address.token;
  // Who brought it in the link has no need to see the field.
  byId('token-field').hidden = address.token !== '';
  byId('allow').addEventListener('click', () => void useCamera());
  cameras.addEventListener('change', () => void useCamera());
  microphones.addEventListener('change', () => void useCamera());
  byId('settings').addEventListener('submit', (event) => {
    event.preventDefault();
    begin();
  });
  stop.addEventListener('click', () => {
    whip?.stop();
    say('The broadcast has ended.');
    go.focus();
  });
  setInterval(() => void tick(), 1000);
  setInterval(() => (meter.value = stream === null ? 0 : (loudness?.read() ?? 0)), 100);
  addEventListener('pagehide', () => whip?.stop());
  addEventListener('beforeunload', (event) => {
    if (state === 'live') event.preventDefault();
  });
}
