/** What the panel says of states, rules and actors, in plain words. */

import type { Detail, Entry, PullDetail, SlotDetail, Summary } from './types';

export type Tone = 'live' | 'good' | 'warn' | 'bad' | 'quiet';

export interface Standing {
  readonly tone: Tone;
  readonly word: string;
  readonly more: string;
}

/** How a stream is doing, in one look. */
export function standing(stream: Pick<Summary, 'active' | 'pull' | 'on_air'> & { state: Summary['state'] | Detail['state'] }): Standing {
  if (stream.state === 'restarting') return { tone: 'warn', word: 'Restarting', more: 'Its actors are being started again.' };
  if (stream.state === 'degraded') return { tone: 'bad', word: 'Degraded', more: 'Its actors keep failing and are tried once a minute.' };
  if (stream.state === 'on_air') {
    return stream.on_air === 'backup'
      ? { tone: 'warn', word: 'Live on backup', more: 'The backup encoder is on air.' }
      : { tone: 'live', word: 'Live', more: stream.pull ? 'The source is on air.' : 'The primary encoder is on air.' };
  }
  if (stream.state === 'holding') return { tone: 'warn', word: 'Holding', more: 'No input: viewers see the last picture.' };
  if (!stream.active) return { tone: 'quiet', word: 'Off', more: 'Switched off: encoders are refused.' };
  if (stream.state === 'waiting') return { tone: 'good', word: 'Starting', more: 'An input is there; its first picture is awaited.' };
  if (stream.state === 'ended') return { tone: 'quiet', word: 'Ended', more: 'The broadcast is over. The next input begins another.' };
  return { tone: 'quiet', word: 'Ready', more: stream.pull ? 'Waiting for its source.' : 'Waiting for an encoder.' };
}

const PROTOCOLS: Record<string, string> = { rtmp: 'RTMP', rtmps: 'RTMPS', srt: 'SRT', whip: 'WHIP', hls: 'HLS', http: 'HTTP', rtsp: 'RTSP' };

export const protocol = (name: string) => PROTOCOLS[name] ?? name.toUpperCase();

export function slotWords({ state, live }: SlotDetail): { tone: Tone; word: string } {
  switch (state) {
    case 'absent':
      return { tone: 'quiet', word: 'Not connected' };
    case 'silent':
      return { tone: 'bad', word: 'Connected, sends no video' };
    case 'undecoded':
      return { tone: 'warn', word: 'Sends video, no picture yet' };
    case 'received':
      return { tone: live ? 'good' : 'warn', word: 'Standing by' };
    case 'decoding':
      return { tone: live ? 'good' : 'warn', word: 'Receiving' };
  }
}

export function pullWords(pull: PullDetail): { tone: Tone; word: string } {
  switch (pull.state) {
    case 'on':
      return { tone: 'good', word: 'Delivering' };
    case 'trying':
      return { tone: 'warn', word: 'Connecting' };
    case 'waiting':
      return { tone: 'warn', word: 'Waiting for the next try' };
    case 'given_up':
      return { tone: 'bad', word: 'Given up' };
  }
}

interface Advice {
  readonly what: string;
  readonly todo: string;
}

const RULES: Record<string, Advice> = {
  not_authorized: {
    what: 'The token is not this stream’s',
    todo: 'Copy the push URL again into the encoder. The token changes with every reset, and a URL that was cut off has a wrong one too.',
  },
  unanswered: {
    what: 'Too many wrong tokens',
    todo: 'This address tried wrong tokens more than ten times a minute, so it is closed without an answer. Copy the push URL again; a right token is let in at once.',
  },
  stream_off: { what: 'The stream is switched off', todo: 'Switch the stream on, then start the encoder.' },
  pull_stream: { what: 'The stream is pulled', todo: 'It fetches its source by itself. To push to it, edit the stream and choose “Encoders push to it”.' },
  slot_taken: {
    what: 'Another encoder is sending here',
    todo: 'Stop the other encoder, or use the backup’s URL for this one. An encoder that died makes way after 3 s of silence.',
  },
  other_protocol: {
    what: 'The other input uses another protocol',
    todo: 'Primary and backup have to use the same protocol. RTMP and RTMPS count as one.',
  },
  rate_limited: {
    what: 'Reconnects too fast',
    todo: 'Set the encoder’s reconnect delay to 10 s or more, and look at why it loses its connection.',
  },
  draining: { what: 'The server was going down', todo: 'Nothing: the encoder may try again.' },
  restarting: { what: 'The stream was restarting', todo: 'Nothing: the encoder may try again.' },
};

export function advice(rule: string): Advice {
  return RULES[rule] ?? { what: rule.replaceAll('_', ' '), todo: 'See the journal for what happened at that time.' };
}

/** What restarting an actor costs; `null` where it cannot be asked for. */
export function restartCost(actor: string): string | null {
  switch (actor) {
    case 'StreamSupervisor':
      return 'The stream’s encoders are disconnected and have to come back. The next broadcast is a new one.';
    case 'FailoverActor':
      return 'It goes on from its latest state. Viewers and encoders notice nothing.';
    case 'PipelineActor':
      return 'The media worker is replaced and a new broadcast begins: viewers see a short interruption. Encoders stay connected.';
    case 'PullActor':
      return 'A connection that is being tried is begun anew. A source that delivers stays.';
    case 'RtmpListener':
    case 'RtmpsListener':
    case 'SrtListener':
      return 'The door closes and opens again on the same port. Encoders that are connected stay.';
    default:
      return null;
  }
}

export function actorTone(state: string): Tone {
  if (state === 'running') return 'good';
  if (['degraded', 'unresponsive', 'stuck'].includes(state)) return 'bad';
  if (['restarting', 'killing', 'starting', 'stopping', 'finishing'].includes(state)) return 'warn';
  return 'quiet';
}

/** How an entry of the journal is marked: a turn of events, a word beside it, or one of the many small ones. */
export function entryKind({ event, state, live, filled_ms = 0, silence_ms = 0 }: Entry): { tone: Tone; weight: 'main' | 'side' | 'detail' } {
  switch (event) {
    case 'on_air':
      return { tone: 'live', weight: 'main' };
    case 'live':
      return { tone: live === true ? 'good' : 'bad', weight: 'main' };
    case 'gap':
      return filled_ms + silence_ms > 0 ? { tone: 'warn', weight: 'main' } : { tone: 'good', weight: 'side' };
    case 'worker':
      return state === 'playable' ? { tone: 'good', weight: 'side' } : { tone: 'bad', weight: 'main' };
    case 'broadcast':
      return { tone: state === 'began' ? 'good' : 'quiet', weight: 'main' };
    case 'session':
      return { tone: state === 'admitted' ? 'good' : 'quiet', weight: 'side' };
    case 'pull':
      return { tone: state === 'on' ? 'good' : state === 'trying' ? 'quiet' : 'warn', weight: 'side' };
    case 'alignment':
    case 'timer':
    case 'input':
    case 'prepare':
      return { tone: 'quiet', weight: 'detail' };
    default:
      return { tone: 'quiet', weight: 'side' };
  }
}
