/** Something asked of the API, and asked again when it may have changed. */

import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { Failure } from '../api';

export interface Loaded<T> {
  readonly value: T | null;
  readonly failure: Failure | null;
  readonly reload: () => void;
  readonly set: (value: T) => void;
}

/** `ask` is asked at once, anew when `key` changes, and by `reload`; an answer that was overtaken is dropped. */
export function useLoaded<T>(key: string, ask: () => Promise<T>): Loaded<T> {
  const [state, setState] = useState<{ value: T | null; failure: Failure | null }>({ value: null, failure: null });
  const asked = useRef(0);
  const latest = useRef(ask);
  latest.current = ask;
  const reload = useCallback(() => {
    asked.current += 1;
    const nth = asked.current;
    latest.current().then(
      (value) => nth === asked.current && setState({ value, failure: null }),
      (error: unknown) =>
        nth === asked.current &&
        setState(({ value }) => ({ value, failure: error instanceof Failure ? error : new Failure(0, String(error)) })),
    );
  }, []);
  useEffect(() => {
    setState({ value: null, failure: null });
    reload();
    return () => {
      asked.current += 1;
    };
  }, [key, reload]);
  const set = useCallback((value: T) => {
    asked.current += 1;
    setState({ value, failure: null });
  }, []);
  return { ...state, reload, set };
}
