/** A stream that is pulled: its sources, and how the rotation goes. */

import { useState } from 'preact/hooks';
import { duration } from '../format';
import { Badge } from '../parts/badge';
import { useCountdown } from '../parts/clock';
import { Icon } from '../parts/icon';
import type { Detail, PullDetail } from '../types';
import { pullWords } from '../words';

export function Pull({ uri, detail }: { uri: string; detail: Detail | null }) {
  const [shown, setShown] = useState(false);
  const sources = uri.split(/\s+/).filter((source) => source !== '');
  const pull = detail?.pull ?? null;
  const session = detail?.slots.find(({ slot }) => slot === 'primary')?.session ?? null;
  return (
    <section class="card" aria-labelledby="sources">
      <div class="card-head">
        <h2 id="sources">{sources.length === 1 ? 'Source' : 'Sources'}</h2>
        <button type="button" class="quiet" aria-pressed={shown} onClick={() => setShown(!shown)}>
          <Icon name={shown ? 'hide' : 'eye'} />
          {shown ? 'Hide secrets' : 'Show secrets'}
        </button>
      </div>
      {sources.length === 0 ? <p class="dim">It has no address to be pulled from.</p> : null}
      <ol class="sources">
        {sources.map((source, nth) => {
          const present = pull !== null && pull.source === nth;
          return (
            <li key={`${nth} ${source}`} data-on={present && pull.state === 'on'}>
              <code>{shown ? source : withoutSecrets(source)}</code>
              {present ? <Badge tone={pullWords(pull).tone}>{pullWords(pull).word}</Badge> : null}
            </li>
          );
        })}
      </ol>
      {session === null ? null : (
        <p class="slot-facts">
          {session.width === null ? null : (
            <span>
              {session.width}×{session.height}
            </span>
          )}
          <span>for {duration(session.age_s)}</span>
        </p>
      )}
      {pull === null ? null : <Rotation pull={pull} />}
    </section>
  );
}

/** User and query may hold passwords; the server shows sources without them too. */
function withoutSecrets(source: string): string {
  return source.replace(/\/\/[^@/]*@/, '//••••@').replace(/\?.*$/, '?••••');
}

function Rotation({ pull }: { pull: PullDetail }) {
  const next = useCountdown(pull.next_try_s);
  const end = useCountdown(pull.gives_up_s);
  if (pull.state === 'on' && pull.last_error === null) return null;
  return (
    <dl class="facts">
      {pull.state === 'on' ? null : (
        <>
          <dt>Tries</dt>
          <dd>
            {pull.tries}
            {next === null ? '' : `, the next one in ${Math.ceil(next)} s`}
          </dd>
        </>
      )}
      {pull.last_error === null ? null : (
        <>
          <dt>Last failure</dt>
          <dd>{pull.last_error}</dd>
        </>
      )}
      {end === null ? null : (
        <>
          <dt>Gives up</dt>
          <dd>in {duration(end)} without media; then the stream is switched off</dd>
        </>
      )}
    </dl>
  );
}
