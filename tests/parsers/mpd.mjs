/**
 * MPDs, by mpd-parser (video.js), and by the order of elements and the attributes that ISO/IEC 23009-1 asks for. The schema itself may
 * not be passed on; where MPD_SCHEMA names a copy, xmllint validates against it.
 */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DOMParser } from '@xmldom/xmldom';
import { parse } from 'mpd-parser';

/** Children in the schema's order, of the elements that are written. */
const ORDER = {
  MPD: ['ServiceDescription', 'Period', 'UTCTiming'],
  ServiceDescription: ['Latency', 'PlaybackRate'],
  Period: ['AdaptationSet'],
  AdaptationSet: ['ProducerReferenceTime', 'SegmentTemplate', 'Representation'],
  ProducerReferenceTime: ['UTCTiming'],
  Representation: ['AudioChannelConfiguration'],
};
const REQUIRED = {
  MPD: ['profiles', 'minBufferTime', 'type'],
  AdaptationSet: ['contentType', 'mimeType', 'segmentAlignment'],
  ProducerReferenceTime: ['id', 'type', 'wallClockTime', 'presentationTime'],
  SegmentTemplate: ['timescale', 'duration', 'startNumber', 'initialization', 'media'],
  Representation: ['id', 'bandwidth', 'codecs'],
  UTCTiming: ['schemeIdUri', 'value'],
  Latency: ['referenceId', 'target'],
};
/** What each element of a live MPD has besides, and what of it has no place in a static one. */
const LIVE = {
  MPD: { attributes: ['availabilityStartTime', 'publishTime', 'minimumUpdatePeriod', 'timeShiftBufferDepth', 'suggestedPresentationDelay'], children: ['ServiceDescription', 'UTCTiming'] },
  AdaptationSet: { attributes: [], children: ['ProducerReferenceTime'] },
  SegmentTemplate: { attributes: ['availabilityTimeOffset', 'availabilityTimeComplete'], children: [] },
};
/** What only a static MPD has. */
const STATIC = ['mediaPresentationDuration'];
const DURATION = /^PT(\d+(\.\d+)?)S$/;
const DATE = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/;

export function mpd(text) {
  const faults = [];
  let root;
  try {
    const errorHandler = (level, message) => faults.push(`xml: ${level} ${message.split('\n')[0]}`);
    root = new DOMParser({ errorHandler }).parseFromString(text, 'text/xml').documentElement;
  } catch (error) {
    return [`xml: ${error.message}`];
  }
  if (faults.length > 0) return faults;
  faults.push(...structure(root));
  const type = root.getAttribute('type');
  if (type !== 'dynamic' && type !== 'static') return [...faults, `type ${type}`];
  return [...faults, ...kind(root, type === 'dynamic'), ...presentation(text, root), ...schema(text)];
}

function kind(root, live) {
  const faults = [];
  const has = (what, there, wanted) => {
    if (there !== wanted) faults.push(`${what} ${there ? 'has no place here' : 'is missing'}`);
  };
  for (const attribute of STATIC) has(attribute, root.hasAttribute(attribute), !live);
  for (const [name, { attributes, children }] of Object.entries(LIVE)) {
    for (const element of name === 'MPD' ? [root] : Array.from(root.getElementsByTagName(name))) {
      for (const attribute of attributes) has(`${name}@${attribute}`, element.hasAttribute(attribute), live);
      for (const child of children) has(`${child} of ${name}`, Array.from(element.childNodes).some(({ tagName }) => tagName === child), live);
    }
  }
  return faults;
}

function structure(element) {
  const name = element.tagName;
  const faults = (REQUIRED[name] ?? []).filter((attribute) => !element.hasAttribute(attribute)).map((attribute) => `${name} lacks ${attribute}`);
  for (const { name: attribute, value } of Array.from(element.attributes)) {
    if (/(Duration|Depth|Delay|Period|BufferTime)$/.test(attribute) && !DURATION.test(value)) faults.push(`${name}@${attribute}="${value}" is no duration`);
    if (/^(availabilityStartTime|publishTime|wallClockTime)$/.test(attribute) && !DATE.test(value)) faults.push(`${name}@${attribute}="${value}" is no date`);
  }
  const children = Array.from(element.childNodes).filter((node) => node.nodeType === 1);
  let last = -1;
  for (const child of children) {
    const place = (ORDER[name] ?? []).indexOf(child.tagName);
    if (place < last) faults.push(`${child.tagName} stands in the wrong place of ${name}`);
    last = Math.max(last, place);
    faults.push(...structure(child));
  }
  return faults;
}

/** What mpd-parser makes of it: playlists with segments whose names, numbers and lengths agree with the template. */
function presentation(text, root) {
  const warnings = [];
  let found;
  try {
    found = parse(text, { manifestUri: 'http://localhost/index.mpd', NOW: Date.parse(root.getAttribute('publishTime')) || 0, eventHandler: ({ type, message }) => type === 'warn' && warnings.push(message) });
  } catch (error) {
    return [`mpd-parser: ${error.message}`];
  }
  const faults = warnings.map((warning) => `mpd-parser: ${warning}`);
  const audio = Object.values(found.mediaGroups?.AUDIO.audio ?? {}).flatMap((group) => group.playlists);
  const lists = [...(found.playlists ?? []), ...audio];
  const representations = root.getElementsByTagName('Representation').length;
  if (lists.length !== representations || audio.length !== 1) faults.push(`mpd-parser reads ${lists.length} playlists of ${representations} representations, ${audio.length} with sound`);
  const template = root.getElementsByTagName('SegmentTemplate')[0];
  const stated = (name) => Number(template.getAttribute(name));
  const seconds = stated('duration') / stated('timescale');
  const first = stated('startNumber');
  const ended = root.getAttribute('type') === 'static';
  for (const { attributes, segments, endList } of lists) {
    const id = attributes.NAME;
    if (endList !== ended) faults.push(`${id} ${endList ? 'ends' : 'does not end'}`);
    if (segments.length === 0) faults.push(`${id} has no segment`);
    segments.forEach((segment, index) => {
      const last = ended && index === segments.length - 1;
      if (!last && Math.abs(segment.duration - seconds) > 1e-6) faults.push(`${segment.uri} lasts ${segment.duration} s`);
      const number = (segment) => Number(/-(\d+)\.m4s$/.exec(segment.uri)?.[1]);
      if (!(number(segment) === number(segments[0]) + index && number(segment) >= first)) faults.push(`${segment.uri} is number ${index} of its list`);
    });
    const total = segments.reduce((sum, { duration }) => sum + duration, 0);
    const period = DURATION.exec(root.getElementsByTagName('Period')[0].getAttribute('duration') ?? '')?.[1];
    if (ended && Math.abs(total - Number(period)) > 0.01) faults.push(`${id}: ${total} s of segments in a period of ${period} s`);
  }
  return faults;
}

/** The schema imports another from the web, which xmllint must not fetch: the three attributes of it that MPDs use stand in for it. */
function schema(text) {
  const wanted = process.env.MPD_SCHEMA;
  if (wanted === undefined) return [];
  const dir = mkdtempSync(join(tmpdir(), 'mpd-schema-'));
  try {
    const xlink = `<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="http://www.w3.org/1999/xlink">${
      ['href', 'actuate', 'type', 'show'].map((name) => `<xs:attribute name="${name}" type="xs:string"/>`).join('')}</xs:schema>`;
    writeFileSync(join(dir, 'xlink.xsd'), xlink);
    writeFileSync(join(dir, 'mpd.xsd'), readFileSync(wanted, 'utf8').replace(/schemaLocation="[^"]*xlink\.xsd"/, 'schemaLocation="xlink.xsd"'));
    const done = spawnSync('xmllint', ['--noout', '--nonet', '--noent', '--schema', join(dir, 'mpd.xsd'), '-'], { input: text, encoding: 'utf8' });
    return done.status === 0 ? [] : [`schema: ${(done.stderr || String(done.error)).trim().split('\n')[0]}`];
  } finally {
    rmSync(dir, { recursive: true });
  }
}
