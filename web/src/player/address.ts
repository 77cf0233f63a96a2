/** What the page's URL asks for. `/streams/{client}_{id}` names the stream; the query chooses how it is played. */

export type EngineName = 'hls' | 'dash';

export interface Address {
  /** `{client}_{id}`, both decimal. */
  readonly stream: string;
  readonly master: string;
  readonly mpd: string;
  readonly engine: EngineName;
  readonly lowLatency: boolean;
  readonly muted: boolean;
  readonly stats: boolean;
}

/** Reads a page location; null when its path names no stream. */
export function parseAddress(location: { pathname: string; search: string }): Address | null {
  const stream = /^\/streams\/(\d+_\d+)\/?$/.exec(location.pathname)?.[1];
  if (stream === undefined) return null;
  const query = new URLSearchParams(location.search);
  const on = (key: string) => query.has(key) && !['0', 'false'].includes(query.get(key) ?? '');
  return {
    stream,
    master: `/cmaf/${stream}/master.m3u8`,
    mpd: `/cmaf/${stream}/index.mpd`,
    engine: query.get('engine') === 'dash' ? 'dash' : 'hls',
    lowLatency: !on('no_low_latency'),
    muted: !query.has('muted') || on('muted'),
    stats: on('stats'),
  };
}
