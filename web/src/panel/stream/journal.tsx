/** What happened to a stream and by which rule, newest first. */

import { useState } from 'preact/hooks';
import { call, wordsOf } from '../api';
import { capitalised, day, full, time } from '../format';
import { Switch } from '../parts/field';
import { say } from '../parts/toast';
import type { Entry, Page } from '../types';
import { entryKind } from '../words';

/** Entries that are asked for at a time. */
const AT_ONCE = 200;
/** Entries that are shown at first. */
const SHOWN = 30;

export function Journal({ id, entries }: { id: number; entries: readonly Entry[] }) {
  const [details, setDetails] = useState(false);
  const [older, setOlder] = useState<readonly Entry[]>([]);
  const [more, setMore] = useState(true);
  const [limit, setLimit] = useState(SHOWN);
  const oldest = entries.at(-1)?.seq ?? 0;
  const all = [...entries, ...older.filter(({ seq }) => seq < oldest)];
  const wanted = all.filter((entry) => details || entryKind(entry).weight !== 'detail');
  const shown = wanted.slice(0, limit);
  const last = all.at(-1)?.seq ?? 0;

  const goBack = async () => {
    setLimit(limit + AT_ONCE);
    if (wanted.length > limit + AT_ONCE || last <= 1) return setMore(last > 1 || wanted.length > limit + AT_ONCE);
    try {
      const page = await call<Page<Entry>>('GET', `/ops/streams/${id}/journal?limit=${AT_ONCE}&before=${last}`);
      setOlder((older) => [...older, ...page.items]);
      setMore(page.next !== null);
    } catch (error) {
      say(wordsOf(error), 'bad');
    }
  };

  return (
    <section class="card" aria-labelledby="journal">
      <div class="card-head">
        <h2 id="journal">Journal</h2>
        <Switch label="Details" on={details} onChange={setDetails} />
      </div>
      {shown.length === 0 ? <p class="dim">Nothing has happened since the server started.</p> : null}
      <ol class="journal">
        {shown.map((entry, nth) => (
          <Line key={`${entry.seq} ${entry.at}`} entry={entry} before={shown[nth - 1]} />
        ))}
      </ol>
      {wanted.length > limit || (more && last > 1) ? (
        <button type="button" class="plain" onClick={() => void goBack()}>
          Earlier
        </button>
      ) : null}
    </section>
  );
}

function Line({ entry, before }: { entry: Entry; before: Entry | undefined }) {
  const { tone, weight } = entryKind(entry);
  const today = day(entry.at);
  const newDay = before !== undefined && day(before.at) !== today;
  return (
    <>
      {newDay ? (
        <li class="journal-day">
          <span>{today}</span>
        </li>
      ) : null}
      <li class="entry" data-tone={tone} data-weight={weight}>
        <time dateTime={entry.at} title={full(entry.at)}>
          {time(entry.at)}
        </time>
        <span class="dot" aria-hidden="true" />
        <p>{capitalised(entry.text)}</p>
      </li>
    </>
  );
}
