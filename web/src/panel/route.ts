/** Which page: behind the `#`, so that the server has one page only. */

import { useEffect, useState } from 'preact/hooks';

export type Route =
  | { page: 'streams' }
  | { page: 'new' }
  | { page: 'stream'; id: number }
  | { page: 'edit'; id: number }
  | { page: 'supervision' }
  | { page: 'nowhere' };

export function parse(hash: string): Route {
  const path = hash.replace(/^#\/?/, '').replace(/\/$/, '');
  if (path === '') return { page: 'streams' };
  if (path === 'new') return { page: 'new' };
  if (path === 'supervision') return { page: 'supervision' };
  const [, id, edit] = /^streams\/(\d{1,15})(\/edit)?$/.exec(path) ?? [];
  if (id === undefined) return { page: 'nowhere' };
  return { page: edit === undefined ? 'stream' : 'edit', id: Number(id) };
}

export const toStreams = '#/';
export const toNew = '#/new';
export const toSupervision = '#/supervision';
export const toStream = (id: number) => `#/streams/${id}`;
export const toEdit = (id: number) => `#/streams/${id}/edit`;

export function go(hash: string): void {
  location.hash = hash;
}

export function useRoute(): Route {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const changed = () => setHash(location.hash);
    addEventListener('hashchange', changed);
    return () => removeEventListener('hashchange', changed);
  }, []);
  return parse(hash);
}
