/** HLS playlists, by m3u8-parser (video.js) and hls-parser; where both understand a thing, they must understand the same. */

import HLS from 'hls-parser';
import { Parser } from 'm3u8-parser';

/** What is no fault. hls-parser counts three segments where the rule says three target durations; `partsToTheEnd` counts by the rule. */
const HARMLESS = [/^defaulting discontinuity sequence to zero$/, /Remove EXT-X-PART tags from the Playlist after/];

/** What hls-parser reads, and all that it complains about instead of the first. */
function complaints(text) {
  const said = [];
  const { error } = console;
  console.error = (message) => said.push(String(message));
  try {
    return [HLS.parse(text), said];
  } catch (failure) {
    return [undefined, [...said, failure.message]];
  } finally {
    console.error = error;
  }
}

export function hls(text) {
  const faults = [];
  const warnings = [];
  const parser = new Parser({ url: 'http://localhost/' });
  parser.on('warn', ({ message }) => warnings.push(message));
  parser.on('info', ({ message }) => warnings.push(message));
  parser.push(text);
  parser.end();
  const first = parser.manifest;
  const master = text.includes('#EXT-X-STREAM-INF');
  const [second, said] = complaints(text);
  const serious = (messages) => messages.filter((message) => !HARMLESS.some((harmless) => harmless.test(message)));
  faults.push(...serious(warnings).map((message) => `m3u8-parser: ${message}`), ...serious(said).map((message) => `hls-parser: ${message}`));
  if (second === undefined) return faults;
  const same = (what, a, b) => {
    if (JSON.stringify(a) !== JSON.stringify(b)) faults.push(`${what}: m3u8-parser reads ${JSON.stringify(a)}, hls-parser ${JSON.stringify(b)}`);
  };
  if (master) {
    same('variants', first.playlists.map(({ uri }) => uri), second.variants.map(({ uri }) => uri));
    if (first.playlists.length === 0) faults.push('a master without variants');
    return faults;
  }
  // hls-parser keeps the parts of the segment that is not complete as a last segment without URI.
  const whole = second.segments.filter(({ uri }) => uri);
  same('segments', first.segments.filter(({ uri }) => uri).map(({ uri, duration }) => [uri, duration]), whole.map(({ uri, duration }) => [uri, duration]));
  same('target duration', first.targetDuration, second.targetDuration);
  same('media sequence', first.mediaSequence, second.mediaSequenceBase);
  same('discontinuity sequence', first.discontinuitySequence, second.discontinuitySequenceBase);
  same('end', first.endList === true, second.endlist);
  same('skipped', first.skip?.skippedSegments ?? 0, second.skip);
  same('part target', first.partTargetDuration, second.partTargetDuration);
  same('skip boundary', first.serverControl.canSkipUntil, second.lowLatencyCompatibility.canSkipUntil);
  same('reports', (first.renditionReports ?? []).map(({ uri, lastMsn, lastPart }) => [uri, lastMsn, lastPart]),
    second.renditionReports.map(({ uri, lastMSN, lastPart }) => [uri, lastMSN, lastPart]));
  same('parts', [...first.segments, first.preloadSegment ?? {}].flatMap(({ parts }) => (parts ?? []).map(({ uri }) => uri)),
    second.segments.flatMap(({ parts }) => parts.filter(({ hint }) => !hint).map(({ uri }) => uri)));
  faults.push(...numbers(first, whole), ...durations(first), ...partsToTheEnd(second));
  return faults;
}

/** Names carry the sequence number: what the parsers counted must be what was named. */
function numbers(list, whole) {
  const start = list.mediaSequence + (list.skip?.skippedSegments ?? 0);
  return whole.flatMap(({ uri, mediaSequenceNumber }, index) => {
    const named = Number(/-(\d+)\.m4s$/.exec(uri)?.[1]);
    return named === start + index && named === mediaSequenceNumber ? [] : [`${uri} is number ${start + index} to m3u8-parser, ${mediaSequenceNumber} to hls-parser`];
  });
}

/** RFC 8216bis 4.4.3.1 and 4.4.3.7. */
function durations(list) {
  const parts = [...list.segments, list.preloadSegment ?? {}].flatMap((segment) => segment.parts ?? []);
  return [
    ...list.segments.filter(({ uri, duration }) => uri && Math.round(duration) > list.targetDuration).map(({ uri, duration }) => `${uri} lasts ${duration} s, over the target`),
    ...parts.filter(({ duration }) => duration > list.partTargetDuration + 1e-6).map(({ uri, duration }) => `${uri} lasts ${duration} s, over the part target`),
  ];
}

/** RFC 8216bis 4.4.4.9: parts that are more than three target durations from the end are no longer listed. */
function partsToTheEnd(list) {
  const faults = [];
  let after = 0;
  for (const segment of [...list.segments].reverse()) {
    const parts = segment.parts.filter(({ hint }) => !hint);
    if (parts.length > 0 && after > 3 * list.targetDuration) faults.push(`${parts[0].uri} is ${after} s from the end`);
    after += segment.uri ? segment.duration : parts.reduce((sum, { duration }) => sum + duration, 0);
  }
  return faults;
}
