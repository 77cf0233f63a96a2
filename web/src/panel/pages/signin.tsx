/** Signing in with the API key. */

import { useRef, useState } from 'preact/hooks';
import { call, Failure, wordsOf } from '../api';
import { Sign } from '../parts/icon';
import { Secret } from '../parts/secret';
import { usePageTitle } from '../shell';
import type { Session } from '../types';

export function SignIn({ onSignedIn }: { onSignedIn: (session: Session) => void }) {
  const [key, setKey] = useState('');
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string | null>(null);
  const input = useRef<HTMLInputElement>(null);
  usePageTitle('Sign in');

  const submit = async (event: Event) => {
    event.preventDefault();
    if (busy) return;
    if (key.trim() === '') {
      setError('Enter the API key.');
      input.current?.focus();
      return;
    }
    setBusy(true);
    setError(null);
    try {
      onSignedIn(await call<Session>('POST', '/panel/session', { key: key.trim() }));
    } catch (thrown) {
      setBusy(false);
      const wait = thrown instanceof Failure ? thrown.retryAfter : null;
      setError(wait === null ? wordsOf(thrown) : `Too many wrong keys from here. Try again in ${wait} s.`);
      input.current?.focus();
      input.current?.select();
    }
  };

  return (
    <main class="gate">
      <form class="card sign-in" onSubmit={(event) => void submit(event)} noValidate>
        <Sign />
        <h1>Sign in to Weir</h1>
        <label for="key">API key</label>
        <Secret
          id="key"
          what="the key"
          value={key}
          onValue={setKey}
          invalid={error !== null}
          describedBy="key-error key-help"
          autocomplete="current-password"
          focus
          inputRef={input}
        />
        <p id="key-error" class="error" role="alert">
          {error}
        </p>
        <button type="submit" class="primary wide-button" disabled={busy}>
          {busy ? 'Signing in …' : 'Sign in'}
        </button>
        <p id="key-help" class="help">
          It is <code>api.key</code> of the configuration. Where none is set, the server made one at its first start and keeps it in the file{' '}
          <code>api.key</code> of its data directory.
        </p>
      </form>
    </main>
  );
}
