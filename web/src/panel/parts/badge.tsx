/** A state in one word, with a dot in its colour. */

import type { Tone } from '../words';

export function Badge({ tone, children, title }: { tone: Tone; children: string; title?: string | undefined }) {
  return (
    <span class="badge" data-tone={tone} title={title}>
      <span class="dot" aria-hidden="true" />
      {children}
    </span>
  );
}
