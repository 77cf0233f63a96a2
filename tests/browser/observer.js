// Runs inside the measured page, before its own scripts. Watches the video element from outside the player, so that the
// player cannot miscount in its own favour. Results stand in `window.observed`.

(() => {
  const SAMPLE_MS = 50;
  const STALL_MS = 400;
  const observed = { startupMs: null, stalls: [], states: [], samplerGapMs: 0, cspViolations: [] };
  window.observed = observed;

  document.addEventListener('securitypolicyviolation', (event) => {
    observed.cspViolations.push(`${event.violatedDirective} ${event.blockedURI}`);
  });

  let position = -1;
  let since = 0;
  let stall = null;
  let last = performance.now();
  setInterval(() => {
    const now = performance.now();
    observed.samplerGapMs = Math.max(observed.samplerGapMs, now - last);
    last = now;
    const state = window.weir?.state ?? null;
    if (state !== null && observed.states.at(-1)?.state !== state) observed.states.push({ ms: Math.round(now), state });
    const video = document.querySelector('video');
    if (video === null) return;
    const { currentTime } = video;
    if (currentTime !== position) {
      // The first jump is the seek to the live edge; playback is a small step with data.
      const step = currentTime - position;
      if (observed.startupMs === null && step > 0 && step < 0.5 && video.readyState >= 3) observed.startupMs = Math.round(now);
      position = currentTime;
      since = now;
      stall = null;
    } else if (observed.startupMs !== null && now - since > STALL_MS) {
      if (stall === null) {
        stall = { at: Math.round(currentTime * 1000) / 1000, ms: 0, afterStartMs: Math.round(since - observed.startupMs), state };
        observed.stalls.push(stall);
      }
      stall.ms = Math.round(now - since);
    }
  }, SAMPLE_MS);

  /**
   * Reads the bar code of every picture that is shown (`tests/accept/barcode.py`) and keeps when each new number came to the screen, in
   * milliseconds since 1970. Null where there is no code.
   */
  window.watchNumbers = () => {
    const BLOCKS = 20;
    const STRIP = 18;
    const video = document.querySelector('video');
    const seen = [];
    const canvas = new OffscreenCanvas(BLOCKS, 1);
    const picture = canvas.getContext('2d', { willReadFrequently: true });
    const read = () => {
      const height = video.videoHeight / STRIP;
      picture.drawImage(video, 0, video.videoHeight - 0.75 * height, video.videoWidth, height / 2, 0, 0, BLOCKS, 1);
      const { data } = picture.getImageData(0, 0, BLOCKS, 1);
      const lit = Array.from({ length: BLOCKS }, (_, block) => data[4 * block] > 120);
      if (!lit[0] || lit[1] || lit.at(-2) || !lit.at(-1)) return null;
      return lit.slice(2, -2).reduce((value, bit) => 2 * value + Number(bit), 0);
    };
    const onFrame = (_now, frame) => {
      const number = read();
      if (seen.at(-1)?.number !== number) seen.push({ at: Math.round(performance.timeOrigin + frame.expectedDisplayTime), number });
      video.requestVideoFrameCallback(onFrame);
    };
    video.requestVideoFrameCallback(onFrame);
    window.numbers = () => seen;
  };

  /**
   * Pairs each white flash with the beep that belongs to it. Flash: display time of the first white frame. Beep: output time of
   * the first loud sample. Offsets in ms, positive when the beep comes after the flash. Needs `?muted=0`.
   *
   * A check for gross errors: a frame lasts 33 ms, and the audio graph adds a delay of its own (10 to 50 ms were seen with a source
   * without any). The exact figure is taken from the segments.
   */
  window.watchFlashAndBeep = async () => {
    const PAIR_MS = 700;
    const video = document.querySelector('video');
    const flashes = [];
    const beeps = [];
    const canvas = new OffscreenCanvas(16, 9);
    const picture = canvas.getContext('2d', { willReadFrequently: true });
    let white = true;
    const onFrame = (_now, frame) => {
      picture.drawImage(video, 0, 0, 16, 9);
      const { data } = picture.getImageData(0, 0, 16, 9);
      let sum = 0;
      for (let i = 0; i < data.length; i += 4) sum += data[i] + data[i + 1] + data[i + 2];
      const bright = sum / (16 * 9 * 3) > 200;
      if (bright && !white) flashes.push({ shown: frame.expectedDisplayTime, media: frame.mediaTime });
      white = bright;
      video.requestVideoFrameCallback(onFrame);
    };
    video.requestVideoFrameCallback(onFrame);

    const audio = new AudioContext({ latencyHint: 'interactive' });
    await audio.resume();
    const analyser = new AnalyserNode(audio, { fftSize: 4096 });
    audio.createMediaElementSource(video).connect(analyser).connect(audio.destination);
    const window_ = new Float32Array(analyser.fftSize);
    let quietUntil = 0;
    setInterval(() => {
      analyser.getFloatTimeDomainData(window_);
      const end = audio.currentTime;
      const first = window_.findIndex((sample) => Math.abs(sample) > 0.1);
      if (first < 0) return;
      const at = end - (window_.length - first) / audio.sampleRate;
      // An onset is a loud sample after a quiet stretch that this window shows too.
      if (first > 128 && at > quietUntil) {
        const stamp = audio.getOutputTimestamp();
        beeps.push({ shown: stamp.performanceTime + (at - stamp.contextTime) * 1000 });
      }
      quietUntil = end + 0.3;
    }, 20);

    window.flashAndBeep = () =>
      flashes.flatMap((flash) => {
        const near = beeps.map((beep) => beep.shown - flash.shown).filter((offset) => Math.abs(offset) < PAIR_MS);
        near.sort((a, b) => Math.abs(a) - Math.abs(b));
        return near.length > 0 ? [{ media: flash.media, offsetMs: Math.round(near[0] * 10) / 10 }] : [];
      });
  };
})();
