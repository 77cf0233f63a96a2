// CPU pressure of the machine: a measurement made while it starves says nothing about the player.

import { readFile } from 'node:fs/promises';

/** PSI `some avg10` above which a run is void, percent. */
export const VOID_ABOVE = 60;

async function someAvg10() {
  const text = await readFile('/proc/pressure/cpu', 'utf8').catch(() => '');
  const value = /^some avg10=([\d.]+)/m.exec(text)?.[1];
  return value === undefined ? null : Number(value);
}

/** Samples until `stop()`, which returns `{max, mean, void}`; max and mean are null where the kernel has no PSI. */
export function watchPressure(everyMs = 1_000) {
  const samples = [];
  const sample = async () => {
    const value = await someAvg10();
    if (value !== null) samples.push(value);
  };
  void sample();
  const timer = setInterval(sample, everyMs);
  return {
    async stop() {
      clearInterval(timer);
      await sample();
      if (samples.length === 0) return { max: null, mean: null, void: false };
      const max = Math.max(...samples);
      const mean = samples.reduce((sum, value) => sum + value, 0) / samples.length;
      return { max, mean: Math.round(mean * 100) / 100, void: max > VOID_ABOVE };
    },
  };
}
