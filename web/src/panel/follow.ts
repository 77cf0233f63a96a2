/** Following server-sent events: one connection per page, closed while nobody looks, opened again when it breaks. */

import { useEffect, useRef, useState } from 'preact/hooks';
import { call, SIGNED_OUT } from './api';
import type { Session } from './types';

export type Link = 'connecting' | 'open' | 'broken';

/** What is done with each event's data; `open` whenever a connection begins, because something may have been missed. */
export type Handlers = Record<string, (data: never) => void>;

/** A page in the background gives its connection back after so long, milliseconds: browsers have six for each server. */
const HIDDEN_FOR = 30_000;
/** Pauses before the next try, milliseconds. The browser tries again by itself where the network broke; these are for refusals. */
const PAUSES = [1_000, 2_000, 4_000, 8_000, 15_000];

/** Whether the page is seen, or was a moment ago. */
export function useVisible(): boolean {
  const [visible, setVisible] = useState(true);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const look = () => {
      clearTimeout(timer);
      if (document.hidden) timer = setTimeout(() => setVisible(false), HIDDEN_FOR);
      else setVisible(true);
    };
    look();
    document.addEventListener('visibilitychange', look);
    return () => {
      clearTimeout(timer);
      document.removeEventListener('visibilitychange', look);
    };
  }, []);
  return visible;
}

export function useEvents(path: string, handlers: Handlers): Link {
  const visible = useVisible();
  const [link, setLink] = useState<Link>('connecting');
  const latest = useRef(handlers);
  latest.current = handlers;
  const names = Object.keys(handlers).join(' ');

  useEffect(() => {
    if (!visible) return;
    let source: EventSource | null = null;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let failures = 0;
    let ended = false;

    const open = () => {
      source = new EventSource(path);
      source.addEventListener('open', () => {
        failures = 0;
        setLink('open');
        latest.current['open']?.(undefined as never);
      });
      for (const name of names.split(' ').filter((name) => name !== 'open')) {
        source.addEventListener(name, (event) => latest.current[name]?.(JSON.parse((event as MessageEvent<string>).data) as never));
      }
      source.addEventListener('error', () => {
        setLink('broken');
        if (source?.readyState === EventSource.CLOSED) void refused();
      });
    };

    /** Events cannot say why they were refused: the session may be over, or what they are about may be gone. */
    const refused = async () => {
      const session = await call<Session>('GET', '/panel/session').catch(() => null);
      if (ended) return;
      if (session !== null && !session.signed_in) return void window.dispatchEvent(new Event(SIGNED_OUT));
      if (session !== null) latest.current['refused']?.(undefined as never);
      timer = setTimeout(open, PAUSES[Math.min(failures, PAUSES.length - 1)]);
      failures += 1;
    };

    open();
    return () => {
      ended = true;
      clearTimeout(timer);
      source?.close();
      setLink('connecting');
    };
  }, [path, visible, names]);

  return link;
}
