/** A WHIP client (RFC 9725) of one page: one session at a time, begun anew with a growing pause when it breaks, never when it is refused. */

export interface Refusal {
  readonly status: number;
  /** `X-Reason-Code`. */
  readonly reason: string | null;
  /** Seconds. */
  readonly retryAfter: number | null;
}

export type State = 'idle' | 'connecting' | 'live' | 'waiting';

export interface Events {
  state(state: State): void;
  /** It ended by itself, for good. */
  refused(refusal: Refusal): void;
  /** It broke; a new try follows in so many milliseconds. */
  broken(pause: number): void;
}

const PAUSES = [1000, 2000, 4000, 8000, 15_000];
/** A broadcast that ran for so long forgives the pauses before. */
const STEADY = 30_000;
const CONNECT_WITHIN = 15_000;
const VIDEO_BITRATE = 2_500_000;

export class Whip {
  #connection: RTCPeerConnection | null = null;
  #resource: string | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #failures = 0;
  #attempt = 0;
  #since = 0;

  constructor(
    private readonly endpoint: string,
    private readonly token: string,
    private stream: MediaStream,
    private readonly events: Events,
  ) {}

  get connection(): RTCPeerConnection | null {
    return this.#connection;
  }

  start(): void {
    void this.#begin();
  }

  /** Ends the session and tells the server. */
  stop(): void {
    this.#attempt += 1;
    this.#drop();
    this.events.state('idle');
  }

  /** Other tracks, without a new session. */
  async replace(stream: MediaStream): Promise<void> {
    this.stream = stream;
    for (const sender of this.#connection?.getSenders() ?? []) {
      const track = stream.getTracks().find((track) => track.kind === sender.track?.kind);
      if (track !== undefined) await sender.replaceTrack(track);
    }
  }

  async #begin(): Promise<void> {
    const attempt = ++this.#attempt;
    this.#drop();
    this.events.state('connecting');
    const connection = new RTCPeerConnection();
    this.#connection = connection;
    connection.addEventListener('connectionstatechange', () => {
      if (attempt !== this.#attempt) return;
      if (connection.connectionState === 'connected') {
        clearTimeout(this.#timer);
        this.#since = Date.now();
        this.events.state('live');
      } else if (['disconnected', 'failed', 'closed'].includes(connection.connectionState)) this.#again();
    });
    try {
      for (const track of this.stream.getTracks()) add(connection, track, this.stream);
      await connection.setLocalDescription();
      const answer = await fetch(this.endpoint, {
        method: 'POST',
        headers: { 'content-type': 'application/sdp', authorization: `Bearer ${this.token}` },
        body: connection.localDescription?.sdp ?? '',
      });
      const resource = answer.headers.get('location');
      if (attempt !== this.#attempt) {
        if (answer.ok && resource !== null) this.#delete(resource);
        return;
      }
      if (answer.status >= 400 && answer.status < 500) return this.#refuse(answer);
      if (!answer.ok || resource === null) return this.#again();
      this.#resource = resource;
      this.#timer = setTimeout(() => this.#again(), CONNECT_WITHIN);
      await connection.setRemoteDescription({ type: 'answer', sdp: await answer.text() });
      await tune(connection);
    } catch {
      if (attempt === this.#attempt) this.#again();
    }
  }

  #refuse(answer: Response): void {
    const retryAfter = Number.parseInt(answer.headers.get('retry-after') ?? '', 10);
    const refusal = {
      status: answer.status,
      reason: answer.headers.get('x-reason-code'),
      retryAfter: Number.isNaN(retryAfter) ? null : retryAfter,
    };
    this.stop();
    this.events.refused(refusal);
  }

  #again(): void {
    if (this.#since > 0 && Date.now() - this.#since > STEADY) this.#failures = 0;
    this.#since = 0;
    const pause = PAUSES[Math.min(this.#failures, PAUSES.length - 1)] ?? 1000;
    this.#failures += 1;
    this.#attempt += 1;
    this.#drop();
    this.#timer = setTimeout(() => void this.#begin(), pause);
    this.events.state('waiting');
    this.events.broken(pause);
  }

  #drop(): void {
    clearTimeout(this.#timer);
    this.#connection?.close();
    this.#connection = null;
    if (this.#resource !== null) this.#delete(this.#resource);
    this.#resource = null;
  }

  #delete(resource: string): void {
    // It outlives the page.
    void fetch(resource, { method: 'DELETE', keepalive: true, headers: { authorization: `Bearer ${this.token}` } }).catch(() => {});
  }
}

function add(connection: RTCPeerConnection, track: MediaStreamTrack, stream: MediaStream): void {
  const video = track.kind === 'video';
  const encoding = video ? { sendEncodings: [{ maxBitrate: VIDEO_BITRATE }] } : {};
  const transceiver = connection.addTransceiver(track, { direction: 'sendonly', streams: [stream], ...encoding });
  const codecs = RTCRtpSender.getCapabilities(track.kind)?.codecs ?? [];
  const wanted = codecs.filter(({ mimeType }) => mimeType.toLowerCase() === (video ? 'video/h264' : 'audio/opus'));
  if (wanted.length > 0) transceiver.setCodecPreferences(wanted);
}

/** The broadcast keeps the first picture's size: rather fewer frames for a moment than a small picture for good. */
async function tune(connection: RTCPeerConnection): Promise<void> {
  for (const sender of connection.getSenders().filter(({ track }) => track?.kind === 'video')) {
    const parameters = sender.getParameters();
    await sender.setParameters({ ...parameters, degradationPreference: 'maintain-resolution' } as RTCRtpSendParameters);
  }
}
