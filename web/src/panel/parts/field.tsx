/** Fields of forms, each with its label, its help and what is wrong with it. */

import type { ComponentChildren } from 'preact';
import { useId } from 'preact/hooks';

interface FieldProps {
  label: string;
  help?: ComponentChildren;
  errors?: readonly string[] | undefined;
  /** Given what ties the control to its texts. */
  children: (ties: { id: string; 'aria-describedby': string; 'aria-invalid': boolean }) => ComponentChildren;
}

export function Field({ label, help, errors = [], children }: FieldProps) {
  const id = useId();
  const wrong = errors.length > 0;
  return (
    <div class="field" data-wrong={wrong}>
      <label for={id}>{label}</label>
      {children({ id, 'aria-describedby': `${id}-help ${id}-errors`, 'aria-invalid': wrong })}
      {help === undefined ? null : (
        <p class="help" id={`${id}-help`}>
          {help}
        </p>
      )}
      <div id={`${id}-errors`}>
        {wrong ? <p class="error">{errors.map((text) => `${label} ${text}`).join('. ')}.</p> : null}
      </div>
    </div>
  );
}

interface SwitchProps {
  label: string;
  help?: string;
  on: boolean;
  onChange: (on: boolean) => void;
  disabled?: boolean;
}

export function Switch({ label, help, on, onChange, disabled = false }: SwitchProps) {
  const id = useId();
  return (
    <div class="switch">
      <input
        id={id}
        type="checkbox"
        role="switch"
        checked={on}
        disabled={disabled}
        aria-describedby={help === undefined ? undefined : `${id}-help`}
        onChange={(event) => onChange(event.currentTarget.checked)}
      />
      <label for={id}>{label}</label>
      {help === undefined ? null : (
        <p class="help" id={`${id}-help`}>
          {help}
        </p>
      )}
    </div>
  );
}

interface ChoiceProps<T extends string> {
  label: string;
  value: T;
  options: readonly (readonly [T, string])[];
  onChange: (value: T) => void;
  /** The label is said, not seen. */
  bare?: boolean;
}

/** One of a few, as radio buttons side by side. */
export function Choice<T extends string>({ label, value, options, onChange, bare = false }: ChoiceProps<T>) {
  const name = useId();
  return (
    <fieldset class="choice">
      <legend class={bare ? 'off-screen' : ''}>{label}</legend>
      <div class="segments">
        {options.map(([option, words]) => (
          <label key={option}>
            <input type="radio" name={name} value={option} checked={option === value} onChange={() => onChange(option)} />
            <span>{words}</span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}
