/** Camera and microphone: one stream of both, and how loud it is. */

export interface Choice {
  readonly camera: string;
  readonly microphone: string;
}

/** Opens both; an empty choice is the browser's own. Portrait phones send portrait. */
export function open({ camera, microphone }: Choice): Promise<MediaStream> {
  return navigator.mediaDevices.getUserMedia({
    video: {
      ...(camera === '' ? {} : { deviceId: { exact: camera } }),
      width: { ideal: 1280 },
      height: { ideal: 720 },
      frameRate: { ideal: 30, max: 30 },
    },
    audio: { ...(microphone === '' ? {} : { deviceId: { exact: microphone } }), channelCount: { ideal: 2 } },
  });
}

export function close(stream: MediaStream | null): void {
  for (const track of stream?.getTracks() ?? []) track.stop();
}

/** Fills a list with the devices of one kind, the one in use chosen. */
export async function list(select: HTMLSelectElement, kind: MediaDeviceKind, stream: MediaStream): Promise<void> {
  const devices = (await navigator.mediaDevices.enumerateDevices()).filter((device) => device.kind === kind);
  const track = kind === 'videoinput' ? stream.getVideoTracks()[0] : stream.getAudioTracks()[0];
  const current = track?.getSettings().deviceId ?? '';
  select.replaceChildren(
    ...devices.map(({ deviceId, label }, index) => new Option(label || `${kind === 'videoinput' ? 'Camera' : 'Microphone'} ${index + 1}`, deviceId, false, deviceId === current)),
  );
  select.disabled = devices.length === 0;
}

/** How loud a stream's sound is, 0 to 1. */
export class Loudness {
  #context = new AudioContext();
  #analyser = this.#context.createAnalyser();
  #samples = new Float32Array(1024);
  #source: MediaStreamAudioSourceNode | null = null;

  listen(stream: MediaStream): void {
    this.#source?.disconnect();
    this.#source = null;
    if (stream.getAudioTracks().length === 0) return;
    void this.#context.resume();
    this.#analyser.fftSize = this.#samples.length;
    this.#source = this.#context.createMediaStreamSource(stream);
    this.#source.connect(this.#analyser);
  }

  read(): number {
    this.#analyser.getFloatTimeDomainData(this.#samples);
    const power = this.#samples.reduce((sum, sample) => sum + sample * sample, 0) / this.#samples.length;
    // Of -60 dB to 0 dB.
    return Math.max(0, Math.min(1, 1 + (10 * Math.log10(power + 1e-9)) / 60));
  }
}
