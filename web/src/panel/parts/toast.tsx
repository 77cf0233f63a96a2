/** Short messages: said by a screen reader, seen for some seconds. */

import { useEffect, useState } from 'preact/hooks';

type ToastTone = 'quiet' | 'bad';

interface Toast {
  readonly number: number;
  readonly text: string;
  readonly tone: ToastTone;
}

const SEEN_FOR = 5_000;
const SAY = 'weir:say';
let last = 0;

export function say(text: string, tone: ToastTone = 'quiet'): void {
  last += 1;
  window.dispatchEvent(new CustomEvent<Toast>(SAY, { detail: { number: last, text, tone } }));
}

export function Toasts() {
  const [toast, setToast] = useState<Toast | null>(null);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const said = (event: Event) => {
      setToast((event as CustomEvent<Toast>).detail);
      clearTimeout(timer);
      timer = setTimeout(() => setToast(null), SEEN_FOR);
    };
    addEventListener(SAY, said);
    return () => {
      clearTimeout(timer);
      removeEventListener(SAY, said);
    };
  }, []);
  return (
    <div class="toasts" role="status" aria-live="polite">
      {toast === null ? null : (
        <p key={toast.number} class="toast" data-tone={toast.tone}>
          {toast.text}
        </p>
      )}
    </div>
  );
}
