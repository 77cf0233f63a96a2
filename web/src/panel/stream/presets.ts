/** How encoders are set to push to a stream, made of the URLs that the API gives. */

import type { Slot, Stream } from '../types';

export type Door = 'rtmp' | 'rtmps' | 'srt' | 'whip';

export interface Setting {
  readonly label: string;
  readonly value: string;
}

export interface Preset {
  /** The URL as any encoder takes it. */
  readonly url: string;
  readonly obs: readonly Setting[];
  readonly ffmpeg: string;
  /** What else is to be known. */
  readonly note: string | null;
}

/** What `/ops/streams/{id}` adds: the API's own fields leave RTMPS out while RTMP is open. */
export interface Secured {
  push_url_rtmps: string | null;
  backup_push_url_rtmps: string | null;
}

const INPUT = 'ffmpeg -re -i INPUT';
const VIDEO =
  '-c:v libx264 -preset veryfast -tune zerolatency -pix_fmt yuv420p -b:v 4000k -maxrate 4000k -bufsize 8000k -g 60 -keyint_min 60 -sc_threshold 0 -bf 0';
const AUDIO = '-c:a aac -b:a 128k -ar 48000 -ac 2';

/** Single quotes, as shells take them: tokens and `&` stay what they are. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** `rtmp://host/in/7?token` is a server and a key to OBS. */
function rtmp(url: string, note: string | null): Preset {
  const cut = url.lastIndexOf('/');
  return {
    url,
    obs: [
      { label: 'Service', value: 'Custom…' },
      { label: 'Server', value: url.slice(0, cut) },
      { label: 'Stream key', value: url.slice(cut + 1) },
    ],
    ffmpeg: `${INPUT} ${VIDEO} ${AUDIO} -f flv ${quoted(url)}`,
    note,
  };
}

function srt(url: string, passphrase: string | null): Preset {
  // Behind the `#` of the stream id it would be a part of that.
  const whole = passphrase === null ? url : url.replace('streamid=', `passphrase=${encodeURIComponent(passphrase)}&streamid=`);
  return {
    url: whole,
    obs: [
      { label: 'Service', value: 'Custom…' },
      { label: 'Server', value: whole },
      { label: 'Stream key', value: '' },
    ],
    ffmpeg: `${INPUT} ${VIDEO} ${AUDIO} -f mpegts ${quoted(whole)}`,
    note: 'On a bad line add latency: four round trips, e.g. latency=800000 (microseconds) before streamid. An encoder that cuts the URL at # takes %23 in its place.',
  };
}

function whip(url: string, id: number, token: string, slot: Slot): Preset {
  const point = slot === 'backup' ? `${id}b` : String(id);
  const base = url.slice(0, url.length - `/${id}_${token}/whip`.length);
  const endpoint = `${base}/${point}/whip`;
  const video = VIDEO.replace('-c:v libx264', '-c:v libx264 -profile:v baseline');
  return {
    url: `${base}/${point}_${token}/whip`,
    obs: [
      { label: 'Service', value: 'WHIP' },
      { label: 'Server', value: endpoint },
      { label: 'Bearer token', value: token },
    ],
    ffmpeg: `${INPUT} ${video} -c:a libopus -b:a 128k -ar 48000 -ac 2 -f whip -authorization ${quoted(token)} ${quoted(endpoint)}`,
    note: 'H.264 without B-frames, and Opus. OBS from 30 on and ffmpeg from 8 on can do it; from other machines encoders and browsers want HTTPS.',
  };
}

/** Doors that are open, each with what a slot's encoder needs. */
export function presets(stream: Stream, secured: Secured, slot: Slot): Partial<Record<Door, Preset>> {
  const backup = slot === 'backup';
  const plain = backup ? stream.backup_push_url : stream.push_url;
  const tls = backup ? secured.backup_push_url_rtmps : secured.push_url_rtmps;
  const packets = backup ? stream.backup_push_url_srt : stream.push_url_srt;
  const found: Partial<Record<Door, Preset>> = {};
  if (plain?.startsWith('rtmp:') === true) found.rtmp = rtmp(plain, null);
  if (tls !== null) found.rtmps = rtmp(tls, 'Encrypted. OBS wants a certificate that the encoder’s system trusts.');
  if (packets !== null) found.srt = srt(packets, stream.srt_passphrase);
  if (stream.push_url_whip !== null) found.whip = whip(stream.push_url_whip, stream.id, stream.token, slot);
  return found;
}
