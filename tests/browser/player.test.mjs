// The player page against the fixture: what a viewer sees when a broadcast starts, ends, comes back or is cut off.

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { launch } from './chromium.mjs';
import { Fixture } from './fixture.mjs';
import { measure } from './measure.mjs';

const PATIENCE = { timeout: 40_000 };
const fixture = new Fixture();
let base;
let browser;
let context;

before(async () => {
  [base, browser] = await Promise.all([fixture.start(), launch()]);
  context = await browser.newContext();
});
afterEach(async () => {
  await Promise.all(context.pages().map((page) => page.close()));
  fixture.delivery = 'files';
});
after(async () => {
  await browser?.close();
  await fixture.close();
});

async function open(query = '') {
  const page = await context.newPage();
  await page.goto(`${base}/streams/1_7${query}`);
  return page;
}

const state = (page, wanted) => page.waitForFunction((name) => window.weir.state === name, wanted, PATIENCE);
const said = (page) => page.locator('#status').textContent();

for (const engine of ['hls', 'dash']) {
  test(`${engine}: waits, plays, says the end, and plays the next broadcast by itself`, async () => {
    await fixture.clear();
    const page = await open(`?engine=${engine}`);
    await state(page, 'waiting');
    assert.match(await said(page), /waiting/i);
    await fixture.broadcast();
    await state(page, 'live');
    assert.equal(await page.evaluate(() => window.weir.engine), engine);
    await fixture.end();
    await state(page, 'ended');
    assert.match(await said(page), /ended/i);
    await fixture.broadcast();
    await state(page, 'live');
    assert.equal(await page.evaluate(() => window.weir.fatal), 0);
  });
}

test('says that the server does not answer, and goes on when it does', async () => {
  await fixture.broadcast();
  const page = await open();
  await state(page, 'live');
  fixture.delivery = 503;
  await state(page, 'error');
  assert.match(await said(page), /server/i);
  fixture.delivery = 'files';
  await state(page, 'live');
});

test('a pause leaves the viewer behind, and one click returns to live', async () => {
  await fixture.broadcast();
  const page = await open();
  await state(page, 'live');
  await page.keyboard.press('k');
  await state(page, 'paused');
  await page.waitForTimeout(11_000); // how far behind the viewer shall be
  await page.keyboard.press('k');
  await state(page, 'behind');
  await page.locator('#live').focus();
  await page.keyboard.press('Enter');
  await state(page, 'live');
});

test('a browser that refuses to play by itself gets a button, not a spinner', async () => {
  await fixture.broadcast();
  const page = await context.newPage();
  await page.addInitScript(() => {
    // Not navigator.userActivation: the test's own calls into the page count as gestures there.
    let touched = false;
    addEventListener('pointerdown', () => (touched = true), { capture: true });
    const play = HTMLMediaElement.prototype.play;
    HTMLMediaElement.prototype.play = function () {
      return touched ? play.call(this) : Promise.reject(new DOMException('no gesture', 'NotAllowedError'));
    };
  });
  await page.goto(`${base}/streams/1_7?muted=0`);
  await state(page, 'paused');
  await page.locator('#resume').click();
  await state(page, 'live');
});

test('an address that names no stream says so and asks the server nothing', async () => {
  const page = await context.newPage();
  const asked = [];
  page.on('request', (request) => asked.push(new URL(request.url()).pathname));
  await page.goto(`${base}/streams/nothing`);
  await page.locator('#headline', { hasText: 'No stream at this address' }).waitFor(PATIENCE);
  assert.deepEqual(asked.filter((path) => path.startsWith('/cmaf')), []);
});

for (const mode of ['hls', 'dash']) {
  test(`${mode}: ten seconds without a stall, an error, or a request to another host`, async () => {
    await fixture.broadcast();
    // A page that opens with the first segment of all has nothing to buffer yet.
    const early = await open();
    await state(early, 'live');
    await early.close();
    const seen = await measure(`${base}/streams/1_7`, { seconds: 12, mode });
    assert.equal(seen.state, 'live', JSON.stringify(seen));
    assert.equal(seen.fatal, 0);
    assert.deepEqual(seen.pageErrors, []);
    assert.deepEqual(seen.consoleErrors, []);
    assert.deepEqual(seen.cspViolations, []);
    if (!seen.void) assert.deepEqual(seen.stalls, []);
  });
}
