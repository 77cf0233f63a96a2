/** What the person reads, in plain words. */

import type { Refusal } from './whip';

const REASONS: Record<string, string> = {
  '2001': 'There is no such stream. Check the link that you were given.',
  '2002': 'The token is wrong, or it was reset. Ask for the current one.',
  '2003': 'Somebody is already publishing to this stream. End that broadcast first; after a crash it is free within seconds.',
  '2004': 'This stream is switched off. Switch it on, then go live.',
  '2005': 'The limit of live streams is reached. End another one first.',
  '2006': 'This account may not publish at present.',
};

export function refusalWords({ status, reason, retryAfter }: Refusal): string {
  const text = reason === null ? undefined : REASONS[reason];
  if (text !== undefined) return text;
  const wait = retryAfter === null ? 'in a moment' : `in ${retryAfter} s`;
  if (status === 429) return `Too many attempts in a short time. Try again ${wait}.`;
  if (status === 406) return 'This browser offers no H.264 video with Opus sound. Another browser will do.';
  if (status === 403) return 'The server takes broadcasts over HTTPS only. Open this page with https://';
  if (status === 503) return `The server cannot take the broadcast now. Try again ${wait}.`;
  return `The server refused the broadcast (${status}).`;
}

/** Why there is no camera. */
export function mediaWords(error: unknown): string {
  if (!window.isSecureContext) return 'Browsers give the camera to secure pages only. Open this page with https://';
  switch (error instanceof DOMException ? error.name : '') {
    case 'NotAllowedError':
      return 'The browser was not allowed to use the camera and microphone. Allow them beside the address, then try again.';
    case 'NotFoundError':
      return 'No camera or no microphone was found. Connect one, then try again.';
    case 'NotReadableError':
      return 'Another program is using the camera or microphone. Close it, then try again.';
    default:
      return 'The camera could not be started. Choose another one or try again.';
  }
}
