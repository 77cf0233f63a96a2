/** An input whose text is hidden until it is asked for. */

import type { ComponentProps, Ref } from 'preact';
import { useState } from 'preact/hooks';
import { Icon } from './icon';

interface SecretProps {
  id: string;
  /** What it is, for the button: "the key". */
  what: string;
  value: string;
  onValue: (value: string) => void;
  invalid: boolean;
  describedBy: string;
  autocomplete: string;
  placeholder?: string;
  focus?: boolean;
  inputRef?: Ref<HTMLInputElement>;
}

export function Secret({ id, what, value, onValue, invalid, describedBy, autocomplete, placeholder = '', focus = false, inputRef = null }: SecretProps) {
  const [shown, setShown] = useState(false);
  const type = (shown ? { type: 'text' } : { type: 'password' }) as ComponentProps<'input'>;
  const label = `Show ${what}`;
  return (
    <div class="well input">
      <input
        {...type}
        ref={inputRef}
        id={id}
        class="mono"
        value={value}
        autocomplete={autocomplete}
        autocapitalize="off"
        spellcheck={false}
        autofocus={focus}
        placeholder={placeholder}
        aria-invalid={invalid}
        aria-describedby={describedBy}
        onInput={(event) => onValue(event.currentTarget.value)}
      />
      <button type="button" class="quiet square" aria-pressed={shown} aria-label={label} title={label} onClick={() => setShown(!shown)}>
        <Icon name={shown ? 'hide' : 'eye'} />
      </button>
    </div>
  );
}
