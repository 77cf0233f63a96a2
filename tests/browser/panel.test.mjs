// The control panel as an operator uses it, against a real server (WEIR_URL, WEIR_KEY) with real encoders. One story: each test goes on
// where the last one ended. `tests/panel.rs` starts the server and runs it.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';
import { FAKE_CAMERA, launch } from './chromium.mjs';

const BASE = process.env.WEIR_URL;
const KEY = process.env.WEIR_KEY;
const PATIENCE = 20_000;
const AXE = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

let browser;
let context;
let page;
/** What the browser complained about, and whom it asked. */
const complaints = [];
const asked = [];
const encoders = new Map();

before(async () => {
  browser = await launch(undefined, FAKE_CAMERA);
  context = await browser.newContext({ viewport: { width: 1440, height: 1000 }, permissions: ['clipboard-read', 'clipboard-write'] });
  context.setDefaultTimeout(PATIENCE);
  page = await context.newPage();
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('console', (message) => message.type() === 'error' && complaints.push(`${message.text()} ${message.location().url}`));
  page.on('request', (request) => asked.push(request));
});
after(async () => {
  await Promise.all([...encoders.keys()].map(stop));
  await browser?.close();
});

/** What the page does not have to say itself: answers that a test asks for, and manifests before there is a broadcast. */
const EXPECTED = /status of (401|422|404)/;

const SOUND = ['-c:a', 'aac'];

async function encode(name, url, sound = SOUND) {
  const picture = ['-f', 'lavfi', '-i', 'testsrc2=size=640x360:rate=25', '-f', 'lavfi', '-i', 'sine=frequency=1000:sample_rate=48000'];
  const codecs = ['-c:v', 'libx264', '-preset', 'ultrafast', '-tune', 'zerolatency', '-pix_fmt', 'yuv420p', '-b:v', '600k', '-g', '25', ...sound];
  const child = spawn('ffmpeg', ['-hide_banner', '-loglevel', 'error', '-nostdin', '-re', ...picture, ...codecs, '-f', 'flv', url], { stdio: 'ignore' });
  encoders.set(name, child);
  return child;
}

/** Kills it without a good-bye, as a power cut would. */
async function stop(name) {
  const child = encoders.get(name);
  encoders.delete(name);
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}

async function api(path) {
  const answer = await fetch(`${BASE}${path}`, { headers: { authorization: `APIKey ${KEY}` } });
  assert.equal(answer.status, 200, path);
  return answer.json();
}

/** No serious finding of axe, in light and in dark: of the dialog, where one is open. The player in its frame is a page of its own. */
async function accessible(where) {
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    await page.evaluate(AXE);
    const { violations } = await page.evaluate(() => window.axe.run(document.querySelector('dialog[open]') ?? document, { iframes: false }));
    const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
    const told = serious.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`);
    assert.deepEqual(told, [], `${where}, ${colorScheme}`);
  }
}

const heading = (name) => page.getByRole('heading', { level: 1, name }).waitFor();
const section = (name) => page.getByRole('region', { name });
const said = (text) => page.locator('.state-line', { hasText: text }).waitFor();
const clipboard = () => page.evaluate(() => navigator.clipboard.readText());

async function copied(what) {
  await page.getByRole('button', { name: `Copy ${what}`, exact: true }).click();
  return clipboard();
}

test('a stranger sees the way in and nothing else, and a wrong key is told so', async () => {
  await page.goto(BASE);
  await heading('Sign in to Weir');
  await accessible('sign in');
  await page.getByLabel('API key', { exact: true }).fill('not the key');
  await page.keyboard.press('Enter');
  await page.getByText('This is not the API key.').waitFor();
  await accessible('a wrong key');
  assert.equal((await fetch(`${BASE}/ops/streams`)).status, 401);
});

test('the key opens it, and its cookie is out of the page’s reach', async () => {
  await page.getByLabel('API key', { exact: true }).fill(KEY);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await heading('Streams');
  await page.getByText('No streams yet').waitFor();
  await accessible('no streams');
  assert.equal(await page.evaluate(() => document.cookie), '');
  const kept = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }]));
  assert.ok(!kept.includes(KEY), kept);
  const [cookie] = await context.cookies();
  assert.deepEqual([cookie.httpOnly, cookie.sameSite, cookie.path], [true, 'Strict', '/']);
});

let stream;

test('a stream is made, and what is wrong with a field is told at the field', async () => {
  await page.getByRole('link', { name: 'Create the first stream' }).click();
  await heading('New stream');
  await page.getByLabel('SRT passphrase', { exact: true }).fill('short');
  await page.getByRole('button', { name: 'Create stream' }).click();
  await page.getByText("Name can't be blank.").waitFor();
  await page.getByText(/SRT passphrase must have 10 to 79/).waitFor();
  const focused = () => page.evaluate(() => document.activeElement?.getAttribute('aria-invalid'));
  assert.equal(await focused(), 'true', 'the first wrong field has the focus');
  await accessible('a form with faults');
  await page.getByLabel('SRT passphrase', { exact: true }).fill('');
  await page.getByLabel('Name', { exact: true }).fill('Evening show');
  await page.getByLabel('Renditions').selectOption({ label: '360p: 360p' });
  await page.getByRole('button', { name: 'Create stream' }).click();
  await heading(/Evening show/);
  await said('Waiting for an encoder.');
  [stream] = await api('/streaming/streams');
  assert.deepEqual([stream.name, stream.active], ['Evening show', true]);
});

const urls = {};

test('every protocol’s settings can be copied, and the token is hidden until it is shown', async () => {
  const push = section('Push to it');
  await accessible('a stream that waits');
  assert.ok(!(await page.locator('body').innerText()).includes(stream.token), 'the token is on the page');
  urls.primary = await copied('Push URL');
  assert.equal(urls.primary, stream.push_url);
  await push.getByRole('radio', { name: 'Backup' }).check();
  urls.backup = await copied('Push URL');
  assert.equal(urls.backup, stream.backup_push_url);
  await push.getByRole('radio', { name: 'Primary' }).check();
  const secured = await api(`/ops/streams/${stream.id}`);
  for (const [door, url] of [['RTMPS', secured.push_url_rtmps], ['SRT', stream.push_url_srt], ['WHIP', stream.push_url_whip]]) {
    await push.getByRole('radio', { name: door, exact: true }).check();
    assert.equal(await copied('Push URL'), url, door);
  }
  await push.getByRole('radio', { name: 'OBS' }).check();
  assert.equal(await copied('Bearer token'), stream.token);
  assert.equal(await copied('Server'), `${BASE}/${stream.id}/whip`);
  await push.getByRole('radio', { name: 'RTMP', exact: true }).check();
  assert.equal(await copied('Stream key'), `${stream.id}?${stream.token}`);
  assert.equal(await copied('Server'), stream.push_url.slice(0, stream.push_url.lastIndexOf('/')));
  await push.getByRole('radio', { name: 'ffmpeg' }).check();
  assert.ok((await copied('ffmpeg command')).endsWith(`-f flv '${stream.push_url}'`));
  await page.getByRole('button', { name: 'Show token' }).click();
  await push.getByText(stream.token).waitFor();
  await page.getByRole('button', { name: 'Hide token' }).click();
  await push.getByRole('radio', { name: 'URL' }).check();
});

test('an encoder goes live, and the panel shows what viewers see', async () => {
  await encode('primary', urls.primary);
  await said('The primary encoder is on air.');
  await encode('backup', urls.backup);
  await section('Inputs').getByText('Receiving').nth(1).waitFor();
  const player = await (await page.locator('.preview iframe').elementHandle()).contentFrame();
  await player.waitForFunction(() => window.weir?.state === 'live', null, { timeout: PATIENCE });
  await page.getByRole('img', { name: /^Bit rate .*Primary [1-9]/ }).waitFor();
  await page.getByRole('img', { name: /^Frames .*Backup 2\d/ }).waitFor();
  assert.ok((await page.locator('.charts .stroke').count()) >= 3, 'lines are drawn');
  await accessible('a stream on air');
});

test('the primary is killed: the backup is on air; it comes back: the hold counts down; then it is on air again', async () => {
  await stop('primary');
  await said('The backup encoder is on air.');
  await section('Journal').getByText(/^(On air: backup|Backup on air|.*primary lost)/i).first().waitFor();
  await encode('primary', urls.primary);
  const hold = section('Inputs').getByText(/Primary returns in \d+ s/);
  const seconds = async () => Number(/(\d+) s/.exec(await hold.innerText())?.[1]);
  const first = await seconds();
  assert.ok(first >= 4 && first <= 8, `${first} s`);
  await accessible('the hold');
  await page.waitForFunction((first) => Number(/in (\d+) s/.exec(document.querySelector('.hold')?.textContent ?? '')?.[1]) < first - 1, first);
  await said('The primary encoder is on air.');
  assert.equal(await hold.count(), 0);
});

test('an operator puts the backup on air, and leaves it to the rules again', async () => {
  await section('Inputs').getByRole('button', { name: 'Put on air' }).click();
  await said('The backup encoder is on air.');
  await section('Inputs').getByRole('button', { name: 'Leave it to the rules' }).click();
  await section('Inputs').getByText(/An operator chose/).waitFor({ state: 'hidden' });
});

test('a fresh token disconnects both encoders, says so, and the old one’s refusal is explained', async () => {
  await page.getByRole('button', { name: 'Reset token' }).click();
  const dialog = page.getByRole('dialog');
  await accessible('the question before a reset');
  await dialog.getByRole('button', { name: 'Reset token' }).click();
  await page.getByRole('dialog', { name: 'The token is new' }).waitFor();
  const rows = page.getByRole('dialog').locator('tbody tr');
  assert.equal(await rows.count(), 2);
  for (const row of await rows.allInnerTexts()) assert.match(row, /^(Primary|Backup)\s+RTMP from 127\.0\.0\.1\s+\d+ ms$/);
  await accessible('the receipt');
  const token = await copied('Token');
  assert.notEqual(token, stream.token);
  await page.getByRole('button', { name: 'Done' }).click();
  const late = await encode('late', urls.primary);
  await once(late, 'exit');
  const refusals = section('Refused encoders');
  await refusals.getByText('The token is not this stream’s').first().click();
  await refusals.getByText(/Copy the push URL again/).first().waitFor();
  await refusals.getByText(/NetStream\.Publish\.BadName/).first().waitFor();
  await accessible('a refusal');
  const old = stream.token;
  stream = await api(`/streaming/streams/${stream.id}`);
  assert.equal(stream.token, token);
  urls.primary = await copied('Push URL');
  assert.equal(urls.primary, stream.push_url);
  assert.ok(!urls.primary.includes(old));
});

test('the list follows by itself, without asking again and again', async () => {
  await page.getByRole('link', { name: 'Streams', exact: true }).first().click();
  await heading('Streams');
  const row = page.getByRole('row', { name: /Evening show/ });
  await row.waitFor();
  await encode('primary', urls.primary);
  await row.getByText('Live', { exact: true }).waitFor();
  await row.getByText(/RTMP · 640×360/).waitFor();
  await accessible('the list');
  const before = asked.length;
  await page.waitForTimeout(3_000); // what would be asked meanwhile
  assert.deepEqual(asked.slice(before).map((request) => request.url()), []);
});

test('one actor is restarted, and the tree shows it', async () => {
  await page.getByRole('link', { name: 'Supervision' }).click();
  await heading('Supervision');
  const failover = page.getByRole('row', { name: /FailoverActor/ });
  await failover.getByText('running').waitFor();
  await accessible('the tree');
  await page.getByRole('button', { name: `Restart FailoverActor of stream ${stream.id}` }).click();
  await accessible('the question before a restart');
  await page.getByRole('dialog').getByRole('button', { name: 'Restart' }).click();
  await failover.getByText(/restarted by an operator/).waitFor();
  await failover.getByRole('cell', { name: '1', exact: true }).waitFor();
  await page.getByRole('link', { name: `stream ${stream.id}` }).click();
  await said('The primary encoder is on air.');
  await section('Journal').getByText(/Failover actor failed: restarted by an operator/).waitFor();
});

test('a stream is changed, and its name is new wherever it is shown', async () => {
  await page.getByRole('link', { name: 'Edit' }).click();
  await heading('Edit Evening show');
  await page.getByLabel('Without input, viewers see').selectOption('hitless');
  await page.getByLabel('Delay', { exact: true }).fill('20');
  await page.getByLabel('Name', { exact: true }).fill('Late show');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByText(/Delay must be a whole number within 500 and 10000/).waitFor();
  assert.equal((await api(`/streaming/streams/${stream.id}`)).name, 'Evening show', 'half a change');
  await page.getByLabel('Delay', { exact: true }).fill('1500');
  await page.getByRole('button', { name: 'Save' }).click();
  await heading(/Late show/);
  const { mode, delay_ms } = await api(`/ops/streams/${stream.id}/failover`);
  assert.deepEqual([mode, delay_ms], ['hitless', 1500]);
  assert.equal(await page.title(), 'Late show · Weir');
});

test('it goes live from this browser', async () => {
  await stop('primary');
  await said(/last picture/);
  const opening = context.waitForEvent('page');
  await page.getByRole('link', { name: 'Go live from this browser' }).click();
  const publish = await opening;
  assert.ok(publish.url().endsWith(`/publish/1_${stream.id}#${stream.token}`));
  await publish.getByRole('button', { name: 'Use camera and microphone' }).click();
  await publish.getByRole('button', { name: 'Go live' }).click();
  await publish.locator('[data-state="live"]').waitFor();
  await page.bringToFront();
  await said('The primary encoder is on air.');
  await section('Inputs').getByText('WHIP').waitFor();
  await publish.getByRole('button', { name: 'End broadcast' }).click();
  await publish.close();
});

test('an encoder without sound is told so, and how that is mended', async () => {
  await encode('primary', (await api(`/streaming/streams/${stream.id}`)).push_url, ['-an']);
  const inputs = section('Inputs');
  await inputs.getByText(/^No sound for \d+ s$/).click();
  await inputs.getByText('no -an').waitFor();
  await accessible('what the doctor found');
  await stop('primary');
});

test('a stream that is pulled says which source it asks, and hides its secrets', async () => {
  await page.goto(`${BASE}/#/new`);
  await page.getByLabel('Name', { exact: true }).fill('Rooftop');
  await page.getByRole('radio', { name: 'It is pulled' }).check();
  await page.getByLabel('Addresses').fill('http://127.0.0.1:1/live.m3u8\nrtmp://me:secret@127.0.0.1:1/live/roof');
  await page.getByRole('button', { name: 'Create stream' }).click();
  await heading(/Rooftop/);
  const sources = section('Sources');
  await sources.getByText(/Waiting for the next try|Connecting/).waitFor();
  await sources.getByText('Last failure').waitFor();
  assert.ok(!(await page.locator('body').innerText()).includes('me:secret'));
  await accessible('a stream that is pulled');
});

test('on a phone nothing is wider than the screen', async () => {
  await page.setViewportSize({ width: 360, height: 740 });
  for (const hash of ['#/', `#/streams/${stream.id}`, '#/supervision', '#/new']) {
    await page.goto(`${BASE}/${hash}`);
    await page.getByRole('heading', { level: 1 }).waitFor();
    const wider = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.equal(wider, 0, hash);
    await accessible(`${hash} on a phone`);
  }
  await page.setViewportSize({ width: 1440, height: 1000 });
});

test('light or dark can be chosen, and stays chosen', async () => {
  await page.goto(`${BASE}/#/`);
  const scheme = () => page.evaluate(() => getComputedStyle(document.documentElement).colorScheme);
  const button = page.getByRole('button', { name: /^Colours/ });
  await button.click();
  assert.equal(await scheme(), 'light');
  await button.click();
  await page.reload();
  await heading('Streams');
  assert.equal(await scheme(), 'dark');
  await button.click();
  assert.equal(await scheme(), 'light dark');
});

test('the keyboard is enough, and always knows where it is', async () => {
  const focused = () => page.evaluate(() => document.activeElement?.textContent);
  await page.getByRole('searchbox').focus();
  for (let nth = 0; (await focused()) !== 'Late show'; nth += 1) {
    assert.ok(nth < 10, 'the stream cannot be reached');
    await page.keyboard.press('Tab');
  }
  await page.keyboard.press('Enter');
  await heading(/Late show/);
  await page.waitForFunction(() => document.activeElement?.tagName === 'H1');
  const remove = page.getByRole('button', { name: 'Delete Late show' });
  await remove.focus();
  await page.keyboard.press('Enter');
  await page.getByRole('dialog').waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  assert.ok(await remove.evaluate((button) => button === document.activeElement), 'the focus is back where it was');
});

test('a stream is deleted after a question', async () => {
  await page.getByRole('button', { name: 'Delete Late show' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
  await heading('Streams');
  await page.getByRole('row', { name: /Late show/ }).waitFor({ state: 'detached' });
});

test('who signs out sees nothing any more', async () => {
  await page.getByRole('button', { name: 'Sign out' }).click();
  await heading('Sign in to Weir');
  const status = await page.evaluate(() => fetch('/ops/streams').then((answer) => answer.status));
  assert.equal(status, 401);
});

test('no page asked another host, and none complained', async () => {
  const others = asked.map((request) => new URL(request.url())).filter((url) => url.origin !== BASE && url.protocol.startsWith('http'));
  assert.deepEqual(others.map(String), []);
  const leaked = asked.map((request) => request.url()).filter((url) => url.includes(KEY) || url.includes(stream.token));
  assert.deepEqual(leaked, []);
  assert.deepEqual(complaints.filter((text) => !EXPECTED.test(text)), []);
});
