/**
 * Asks the server what there is to play, without a player: the master playlist says whether the stream exists, its first
 * media playlist whether the broadcast is over (a master looks the same before and after `EXT-X-ENDLIST`).
 */

export type Found = 'live' | 'ended' | 'absent' | 'refused' | 'unreachable';

const TIMEOUT_MS = 5_000;

export async function probe(master: string, signal: AbortSignal): Promise<Found> {
  const bounded = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]);
  try {
    const multivariant = await read(master, bounded);
    if (typeof multivariant !== 'string') return multivariant.found;
    const variant = firstVariant(multivariant);
    if (variant === null) return 'absent';
    const media = await read(new URL(variant, new URL(master, location.href)).href, bounded);
    if (typeof media !== 'string') return media.found;
    return /^#EXT-X-ENDLIST\s*$/m.test(media) ? 'ended' : 'live';
  } catch (cause) {
    signal.throwIfAborted();
    console.debug('probe failed', cause);
    return 'unreachable';
  }
}

async function read(url: string, signal: AbortSignal): Promise<string | { found: Found }> {
  const answer = await fetch(url, { signal, cache: 'no-store' });
  if (answer.ok) return answer.text();
  if (answer.status === 404) return { found: 'absent' };
  return { found: answer.status < 500 ? 'refused' : 'unreachable' };
}

function firstVariant(multivariant: string): string | null {
  const lines = multivariant.split(/\r?\n/);
  const info = lines.findIndex((line) => line.startsWith('#EXT-X-STREAM-INF'));
  if (info < 0) return null;
  return lines.slice(info + 1).find((line) => line !== '' && !line.startsWith('#')) ?? null;
}
