#!/usr/bin/env node
// Reads manifests with parsers that others wrote and tells what they find wrong, one line a fault.
//
//   node check.mjs FILE.m3u8|FILE.mpd...      MPD_SCHEMA=path/to/DASH-MPD.xsd adds xmllint and the schema of ISO/IEC 23009-1
//
// Exit 0: no fault. Exit 1: faults. Exit 2: wrong arguments.

import { readFileSync } from 'node:fs';
import { hls } from './hls.mjs';
import { mpd } from './mpd.mjs';

const CHECKS = { m3u8: hls, mpd };

const files = process.argv.slice(2).map((path) => ({ path, check: CHECKS[path.split('.').pop()] }));
if (files.length === 0 || files.some(({ check }) => check === undefined)) {
  console.error('usage: check.mjs FILE.m3u8|FILE.mpd...');
  process.exit(2);
}
let faulty = false;
for (const { path, check } of files) {
  for (const fault of check(readFileSync(path, 'utf8'), path)) {
    faulty = true;
    console.log(`${path}: ${fault}`);
  }
}
process.exit(faulty ? 1 : 0);
