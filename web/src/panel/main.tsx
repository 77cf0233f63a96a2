/** The control panel: signs in, then shows the page that the address names. */

import { render } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { call, SIGNED_OUT } from './api';
import { Sign } from './parts/icon';
import { say, Toasts } from './parts/toast';
import { EditPage } from './pages/edit';
import { SignIn } from './pages/signin';
import { StreamPage } from './pages/stream';
import { StreamsPage } from './pages/streams';
import { SupervisionPage } from './pages/supervision';
import { type Route, toStreams, useRoute } from './route';
import { Shell } from './shell';
import { applyTheme } from './theme';
import type { Session } from './types';

applyTheme();

function Panel() {
  const [session, setSession] = useState<Session | null>(null);
  const [silent, setSilent] = useState(false);
  const ask = () => {
    setSilent(false);
    call<Session>('GET', '/panel/session').then(setSession, () => setSilent(true));
  };
  useEffect(() => {
    ask();
    const over = () =>
      setSession((session) => {
        if (session?.signed_in === true) say('You are signed out.');
        return { signed_in: false, client_id: null, version: null };
      });
    addEventListener(SIGNED_OUT, over);
    return () => removeEventListener(SIGNED_OUT, over);
  }, []);

  if (session === null) {
    return (
      <main class="gate" aria-busy={!silent}>
        <Sign />
        {silent ? (
          <>
            <p role="alert">The server does not answer.</p>
            <button type="button" class="primary" onClick={ask}>
              Try again
            </button>
          </>
        ) : null}
      </main>
    );
  }
  return (
    <>
      {session.signed_in ? <Signed session={session} /> : <SignIn onSignedIn={setSession} />}
      <Toasts />
    </>
  );
}

function Signed({ session }: { session: Session }) {
  const route = useRoute();
  return (
    <Shell route={route} version={session.version}>
      <Page route={route} client={session.client_id ?? 1} />
    </Shell>
  );
}

function Page({ route, client }: { route: Route; client: number }) {
  switch (route.page) {
    case 'streams':
      return <StreamsPage />;
    case 'new':
      return <EditPage key="new" id={null} />;
    case 'edit':
      return <EditPage key={route.id} id={route.id} />;
    case 'stream':
      return <StreamPage key={route.id} id={route.id} client={client} />;
    case 'supervision':
      return <SupervisionPage />;
    case 'nowhere':
      return (
        <section class="blank">
          <h1 tabIndex={-1}>There is no such page</h1>
          <a class="button primary" href={toStreams}>
            All streams
          </a>
        </section>
      );
  }
}

const root = document.getElementById('panel');
if (root !== null) render(<Panel />, root);
