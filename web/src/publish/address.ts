/** What the page's URL asks for. `/publish/{client}_{id}` names the stream; the token may stand behind `#`, which browsers never send. */

export interface Address {
  readonly id: string;
  /** Where to publish. The token goes into a header. */
  readonly endpoint: string;
  readonly watch: string;
  readonly token: string;
}

/** Reads a page location; null when its path names no stream. */
export function parseAddress(location: { pathname: string; hash: string }): Address | null {
  const match = /^\/publish\/(\d+)_(\d+)\/?$/.exec(location.pathname);
  const [client, id] = [match?.[1], match?.[2]];
  if (client === undefined || id === undefined) return null;
  return { id, endpoint: `/${id}/whip`, watch: `/streams/${client}_${id}`, token: location.hash.slice(1).trim() };
}
