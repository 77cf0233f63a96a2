/** Something to be copied: shown with its secret hidden, copied whole. */

import { useRef, useState } from 'preact/hooks';
import { Icon } from './icon';
import { say } from './toast';

async function write(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Pages that are not secure have no clipboard of that kind.
    const area = document.createElement('textarea');
    area.value = text;
    area.setAttribute('readonly', '');
    area.className = 'off-screen';
    // A dialog lets nothing outside of it have the focus.
    (document.querySelector('dialog[open]') ?? document.body).append(area);
    area.select();
    const done = document.execCommand('copy');
    area.remove();
    return done;
  }
}

/** `what` is named to who cannot see the button's place: "Copy push URL". */
export function CopyButton({ text, what }: { text: string; what: string }) {
  const [copied, setCopied] = useState(false);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const copy = async () => {
    const done = await write(text);
    say(done ? `${what} copied.` : 'The browser did not let it be copied. Show it, and copy it by hand.', done ? 'quiet' : 'bad');
    if (!done) return;
    setCopied(true);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => setCopied(false), 1_500);
  };
  return (
    <button type="button" class="quiet square" data-done={copied} aria-label={`Copy ${what}`} title={`Copy ${what}`} onClick={() => void copy()}>
      <Icon name={copied ? 'check' : 'copy'} />
    </button>
  );
}

/** The text with its secret replaced by dots. */
export function masked(text: string, secrets: readonly string[]): string {
  return secrets.filter((secret) => secret !== '').reduce((text, secret) => text.replaceAll(secret, '••••••••'), text);
}

interface CopyLineProps {
  label: string;
  text: string;
  /** Parts that are shown as dots. */
  secrets?: readonly string[];
  /** Wraps, for what has more than a line. */
  long?: boolean;
}

export function CopyLine({ label, text, secrets = [], long = false }: CopyLineProps) {
  const shown = masked(text, secrets);
  return (
    <div class="copy-line">
      <span class="label">{label}</span>
      <div class="well" data-long={long}>
        <code tabIndex={0} aria-label={label} role="group">
          {long ? shown.split(' ').map((word, nth) => <Word key={nth} word={word} />) : shown}
        </code>
        <CopyButton text={text} what={label} />
      </div>
    </div>
  );
}

function Word({ word }: { word: string }) {
  return (
    <>
      <span class="word">{word}</span>{' '}
    </>
  );
}
