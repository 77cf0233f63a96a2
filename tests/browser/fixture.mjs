// A stand-in for the server, for tests of the player alone: the built page, and a live broadcast that ffmpeg writes (HLS and DASH
// over the same CMAF segments, without low-latency parts). No judgement of the product's delivery comes from here.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, mkdir } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const DIST = fileURLToPath(new URL('../../web/dist/', import.meta.url));
const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.m3u8': 'application/vnd.apple.mpegurl',
  '.mpd': 'application/dash+xml',
  '.m4s': 'video/iso.segment',
};
/** The policy of `src/http/player.rs`. */
const POLICY =
  "default-src 'self'; media-src 'self' blob:; worker-src 'self' blob:; connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors *";

/** Test picture with a white flash, and a 1 kHz beep with it, every 2 s. */
const SOURCE = [
  '-f', 'lavfi', '-i', "testsrc2=size=640x360:rate=30,drawbox=color=white:t=fill:enable='lt(mod(t,2),0.0999)'",
  '-f', 'lavfi', '-i', "aevalsrc='0.7*sin(2*PI*1000*t)*lt(mod(t,2),0.1)':s=48000:c=stereo",
];

export class Fixture {
  /** What requests below /cmaf/ get: `files`, or a status. */
  delivery = 'files';
  #server = createServer((request, answer) => void this.#answer(request, answer));
  #ffmpeg = null;
  #dir = '';

  async start(port = 0) {
    this.#dir = await mkdtemp(join(tmpdir(), 'weir-player-'));
    await mkdir(join(this.#dir, 'live'));
    const clip = join(this.#dir, 'clip.mp4');
    const encode = ['-c:v', 'libx264', '-preset', 'ultrafast', '-g', '48', '-keyint_min', '48', '-sc_threshold', '0', '-pix_fmt', 'yuv420p', '-b:v', '800k', '-c:a', 'aac', '-b:a', '128k'];
    await this.#run(['-t', '120', ...SOURCE, '-t', '120', ...encode, clip]);
    this.#server.listen(port, '127.0.0.1');
    await once(this.#server, 'listening');
    return `http://127.0.0.1:${this.#server.address().port}`;
  }

  /** As before the first broadcast: 404. */
  async clear() {
    await this.end();
    await rm(join(this.#dir, 'live'), { recursive: true });
    await mkdir(join(this.#dir, 'live'));
  }

  /** A new broadcast in place of the last one. */
  async broadcast() {
    await this.clear();
    const out = ['-f', 'dash', '-seg_duration', '1.6', '-window_size', '6', '-extra_window_size', '4', '-hls_playlist', '1', '-hls_master_name', 'master.m3u8'];
    this.#ffmpeg = this.#spawn(['-re', '-i', join(this.#dir, 'clip.mp4'), '-c', 'copy', ...out, join(this.#dir, 'live', 'index.mpd')]);
  }

  /** The broadcast's regular end: ffmpeg writes EXT-X-ENDLIST and a static MPD. */
  async end() {
    const ffmpeg = this.#ffmpeg;
    this.#ffmpeg = null;
    if (ffmpeg === null || ffmpeg.exitCode !== null) return;
    ffmpeg.kill('SIGINT');
    await once(ffmpeg, 'exit');
  }

  async close() {
    await this.end();
    this.#server.close();
    this.#server.closeAllConnections();
    await rm(this.#dir, { recursive: true, force: true });
  }

  #spawn(args) {
    return spawn('ffmpeg', ['-hide_banner', '-loglevel', 'error', '-y', '-nostdin', ...args], { stdio: ['ignore', 'ignore', 'inherit'] });
  }

  async #run(args) {
    const [code] = await once(this.#spawn(args), 'exit');
    if (code !== 0) throw new Error(`ffmpeg ended with ${code}`);
  }

  async #answer(request, answer) {
    const path = normalize(decodeURIComponent(new URL(request.url, 'http://fixture').pathname));
    const media = /^\/cmaf\/1_7\/([\w.-]+)$/.exec(path)?.[1];
    let file = null;
    if (media !== undefined) {
      if (this.delivery !== 'files') return void answer.writeHead(this.delivery).end();
      file = join(this.#dir, 'live', media);
    } else if (path.startsWith('/assets/')) file = join(DIST, path);
    else if (path.startsWith('/streams/')) file = join(DIST, 'player.html');
    else if (path === '/frame') return void answer.writeHead(200, { 'content-type': TYPES['.html'] }).end('<body style="margin:0"><iframe src="/streams/1_7" width="320" height="180" style="border:0" allow="autoplay; fullscreen"></iframe>');
    let body = file === null ? null : await readFile(file).catch(() => null);
    // ffmpeg asks for 1 s behind the edge, less than one of its segments.
    if (media === 'index.mpd') body = body?.toString().replace(/suggestedPresentationDelay="[^"]*"/, 'suggestedPresentationDelay="PT5S"') ?? null;
    if (body === null) return void answer.writeHead(404, { 'x-err-code': '1000' }).end();
    answer.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream', 'cache-control': 'no-store', 'content-security-policy': POLICY }).end(body);
  }
}
