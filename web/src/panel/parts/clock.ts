/** Time that passes between two events: for countdowns and ages. It asks nobody. */

import { useEffect, useRef, useState } from 'preact/hooks';

/** Renders again that often while it runs, milliseconds. */
export function useTick(every: number, runs = true): void {
  const [, tick] = useState(0);
  useEffect(() => {
    if (!runs) return;
    const timer = setInterval(() => tick((n) => n + 1), every);
    return () => clearInterval(timer);
  }, [every, runs]);
}

/** Seconds that are left, counted down from the latest that was told. */
export function useCountdown(left: number | null): number | null {
  const until = useRef<{ left: number; until: number } | null>(null);
  if (left === null) until.current = null;
  else if (until.current?.left !== left) until.current = { left, until: performance.now() + left * 1_000 };
  useTick(200, left !== null);
  return until.current === null ? null : Math.max(0, (until.current.until - performance.now()) / 1_000);
}
