/** What the connection says of itself, once a second. */

export interface Figures {
  readonly size: string | null;
  readonly fps: number | null;
  readonly kbps: number | null;
  readonly rttMs: number | null;
  readonly lossPercent: number | null;
}

export class Meter {
  #bytes = 0;
  #at = 0;

  async read(connection: RTCPeerConnection): Promise<Figures> {
    let [size, fps, rttMs, lossPercent]: [string | null, number | null, number | null, number | null] = [null, null, null, null];
    let [bytes, at] = [0, 0];
    for (const report of (await connection.getStats()).values()) {
      if (report.type === 'outbound-rtp') {
        bytes += report.bytesSent ?? 0;
        at = report.timestamp;
        if (report.kind === 'video') {
          if (report.frameWidth) size = `${report.frameWidth} × ${report.frameHeight}`;
          fps = report.framesPerSecond ?? null;
        }
      } else if (report.type === 'candidate-pair' && report.nominated && report.currentRoundTripTime !== undefined) {
        rttMs = report.currentRoundTripTime * 1000;
      } else if (report.type === 'remote-inbound-rtp' && report.kind === 'video' && report.fractionLost !== undefined) {
        lossPercent = report.fractionLost * 100;
      }
    }
    const kbps = this.#at > 0 && at > this.#at && bytes >= this.#bytes ? ((bytes - this.#bytes) * 8) / (at - this.#at) : null;
    this.#bytes = bytes;
    this.#at = at;
    return { size, fps, kbps, rttMs, lossPercent };
  }
}
