// One headless Chromium with a fresh profile and no traffic of its own.

import { chromium } from 'playwright-core';

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--autoplay-policy=no-user-gesture-required',
];

/** A camera that shows a moving pattern, a microphone that beeps, and nobody to be asked for them. */
export const FAKE_CAMERA = ['--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream'];

/** Starts a browser, with `more` flags and playwright's `options`; playwright gives each one a profile of its own and removes it on close. */
export function launch(executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium', more = [], options = {}) {
  return chromium.launch({ executablePath, headless: true, args: [...FLAGS, ...more], ...options });
}
