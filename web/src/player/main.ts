/** The player page: joins the session (what plays) to the view (what is seen), and shows both to tests as `window.weir`. */

import { parseAddress } from './address';
import { Session } from './session';
import { byId, View } from './view';
import { words } from './words';

/** For tests and for the console; read-only. */
export interface Weir {
  readonly state: string;
  readonly engine: string;
  /** Seconds behind the live edge, as the engine sees it. */
  readonly latency: number | null;
  readonly errors: readonly string[];
  readonly fatal: number;
  readonly stalls: readonly { at: number; ms: number }[];
  /** Milliseconds from navigation to the first moving picture, null before. */
  readonly startup: number | null;
}

declare global {
  interface Window {
    weir: Weir;
  }
}

const address = parseAddress(location);
if (address === null) {
  const { headline, detail } = words('error', 'address');
  byId('headline').textContent = headline;
  byId('detail').textContent = detail;
  byId('player').dataset['state'] = 'lost';
} else {
  const video = byId<HTMLVideoElement>('video');
  video.muted = address.muted;
  const view = new View(video, address);
  let startup: number | null = null;
  const session: Session = new Session(video, address, () => {
    if (session.state === 'live') startup ??= performance.now();
    view.render(session);
  });
  window.weir = {
    get state() {
      return session.state;
    },
    get engine() {
      return session.engineName;
    },
    get latency() {
      return session.latency;
    },
    get errors() {
      return session.errors;
    },
    get fatal() {
      return session.fatal;
    },
    get stalls() {
      return session.stalls;
    },
    get startup() {
      return startup;
    },
  };
  view.bind(session);
  session.retry();
}
