/** What the viewer reads, in plain words. */

import type { Fault, State } from './session';

export interface Words {
  readonly headline: string;
  readonly detail: string;
}

const FAULTS: Record<Fault, Words> = {
  unreachable: { headline: 'The server does not answer', detail: 'Trying again by itself.' },
  refused: { headline: 'This stream is not open to you', detail: 'The server refused to play it here.' },
  failing: { headline: 'Playback keeps failing', detail: 'Trying again by itself.' },
  unsupported: { headline: 'This browser cannot play the stream', detail: 'A current browser with H.264 video can.' },
  address: { headline: 'No stream at this address', detail: 'Check the link that you were given.' },
};

const STATES: Record<State, Words> = {
  waiting: { headline: 'Waiting for the stream', detail: 'It has not started yet. It will play here by itself.' },
  starting: { headline: 'Starting', detail: '' },
  live: { headline: 'Live', detail: '' },
  behind: { headline: 'Behind live', detail: '' },
  paused: { headline: 'Paused', detail: '' },
  ended: { headline: 'The broadcast has ended', detail: 'The next one will play here by itself.' },
  error: FAULTS.failing,
};

export function words(state: State, fault: Fault | null): Words {
  return state === 'error' && fault !== null ? FAULTS[fault] : STATES[state];
}
