/** What surrounds every page: where one can go, light or dark, the way out. */

import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { call, SIGNED_OUT, wordsOf } from './api';
import { Icon, type IconName, Sign } from './parts/icon';
import { say } from './parts/toast';
import { type Route, toStreams, toSupervision } from './route';
import { applyTheme, type Theme, theme } from './theme';

const THEMES: readonly (readonly [Theme, string, IconName])[] = [
  ['system', 'Light or dark as the system has it', 'screen'],
  ['light', 'Light', 'sun'],
  ['dark', 'Dark', 'moon'],
];

function ThemeButton() {
  const [chosen, setChosen] = useState(theme());
  const nth = THEMES.findIndex(([name]) => name === chosen);
  const [, words, icon] = THEMES[nth] ?? THEMES[0]!;
  const next = THEMES[(nth + 1) % THEMES.length]?.[0] ?? 'system';
  return (
    <button
      type="button"
      class="quiet square"
      aria-label={`Colours: ${words}. Change`}
      title={`Colours: ${words}`}
      onClick={() => {
        applyTheme(next);
        setChosen(next);
      }}
    >
      <Icon name={icon} />
    </button>
  );
}

async function signOut(): Promise<void> {
  try {
    await call('DELETE', '/panel/session');
    window.dispatchEvent(new Event(SIGNED_OUT));
  } catch (error) {
    say(wordsOf(error), 'bad');
  }
}

export function Shell({ route, version, children }: { route: Route; version: string | null; children: ComponentChildren }) {
  const main = useRef<HTMLElement>(null);
  const place = JSON.stringify(route);
  const first = useRef(true);
  useEffect(() => {
    // Who uses a screen reader or the keyboard begins at the new page's heading or first field, not where the old page's link was.
    if (!first.current) {
      window.scrollTo(0, 0);
      const own = main.current?.querySelector<HTMLElement>('[autofocus]') ?? main.current?.querySelector('h1');
      (own ?? main.current)?.focus({ preventScroll: true });
    }
    first.current = false;
  }, [place]);
  const supervision = route.page === 'supervision';
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => (event.preventDefault(), main.current?.focus())}>
        Skip to the page
      </a>
      <header class="top">
        <a class="brand" href={toStreams} aria-label="Weir, all streams">
          <Sign />
          <span>Weir</span>
        </a>
        <nav aria-label="Pages">
          <a href={toStreams} aria-current={supervision ? undefined : 'page'}>
            Streams
          </a>
          <a href={toSupervision} aria-current={supervision ? 'page' : undefined}>
            Supervision
          </a>
        </nav>
        <div class="top-end">
          <ThemeButton />
          <button type="button" class="quiet" onClick={() => void signOut()}>
            <Icon name="leave" />
            <span class="wide">Sign out</span>
          </button>
        </div>
      </header>
      <main id="main" class="page" tabIndex={-1} ref={main}>
        {children}
      </main>
      <footer class="bottom">Weir {version}</footer>
    </>
  );
}

/** The name of a page: on it, and in the browser's tab. */
export function usePageTitle(title: string): void {
  useEffect(() => {
    document.title = title === 'Weir' ? title : `${title} · Weir`;
  }, [title]);
}
