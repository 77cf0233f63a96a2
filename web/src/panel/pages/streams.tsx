/** All streams, each as it is now. */

import { useMemo, useState } from 'preact/hooks';
import { all } from '../api';
import { useEvents } from '../follow';
import { count, duration, fps } from '../format';
import { Badge } from '../parts/badge';
import { useTick } from '../parts/clock';
import { Choice } from '../parts/field';
import { Icon, Sign } from '../parts/icon';
import { LinkState } from '../parts/link';
import { useLoaded } from '../parts/load';
import { toNew, toStream } from '../route';
import { usePageTitle } from '../shell';
import type { Status, Summary } from '../types';
import { protocol, standing } from '../words';

type Which = 'all' | 'live' | 'off';

export function StreamsPage() {
  usePageTitle('Streams');
  const list = useLoaded('streams', () => all<Summary>('/ops/streams'));
  const [told, setTold] = useState<ReadonlyMap<number, Status>>(new Map());
  const link = useEvents('/ops/events', {
    open: () => {
      // What was told before may be of an earlier run of the server.
      setTold(new Map());
      list.reload();
    },
    status: (status: Status) => setTold((told) => new Map(told).set(status.id, status)),
    edited: list.reload,
  });
  useTick(1_000);

  const streams = useMemo(() => {
    const now = (stream: Summary): Summary => ({ ...stream, ...told.get(stream.id) });
    return (list.value ?? []).map(now).sort((a, b) => b.id - a.id);
  }, [list.value, told]);

  const [words, setWords] = useState('');
  const [which, setWhich] = useState<Which>('all');
  const isLive = ({ state }: Summary) => state === 'on_air' || state === 'holding';
  const live = streams.filter(isLive).length;
  const wanted = words.trim().toLowerCase();
  const found = streams.filter(
    (stream) =>
      (which === 'all' || (which === 'live' ? isLive(stream) : !stream.active)) &&
      (wanted === '' || stream.name.toLowerCase().includes(wanted) || String(stream.id) === wanted),
  );

  return (
    <>
      <div class="page-head">
        <div>
          <h1 tabIndex={-1}>Streams</h1>
          <p class="dim">
            {list.value === null ? ' ' : `${count(streams.length, 'stream')}, ${live === 0 ? 'none' : live} on air`} <LinkState link={link} />
          </p>
        </div>
        <a class="button primary" href={toNew}>
          <Icon name="plus" />
          New stream
        </a>
      </div>

      {list.failure === null ? null : (
        <p class="notice" data-tone="bad" role="alert">
          {list.failure.message}{' '}
          <button type="button" class="plain" onClick={list.reload}>
            Try again
          </button>
        </p>
      )}

      {list.value !== null && streams.length === 0 ? (
        <section class="card blank">
          <Sign />
          <h2>No streams yet</h2>
          <p class="dim">A stream is a channel: an encoder pushes to its address, viewers watch at another one.</p>
          <a class="button primary" href={toNew}>
            Create the first stream
          </a>
        </section>
      ) : (
        <>
          <div class="filters">
            <div class="well input search">
              <Icon name="search" />
              <input type="search" aria-label="Find by name or number" placeholder="Name or number" value={words} onInput={(event) => setWords(event.currentTarget.value)} />
            </div>
            <Choice
              bare
              label="Which streams"
              value={which}
              onChange={setWhich}
              options={[
                ['all', 'All'],
                ['live', 'On air'],
                ['off', 'Off'],
              ]}
            />
          </div>
          <StreamTable streams={found} busy={list.value === null} />
        </>
      )}
    </>
  );
}

function StreamTable({ streams, busy }: { streams: readonly Summary[]; busy: boolean }) {
  return (
    <div class="card table-card" aria-busy={busy}>
      <table class="streams">
        <caption class="off-screen">Streams</caption>
        <thead>
          <tr>
            <th scope="col">State</th>
            <th scope="col">Name</th>
            <th scope="col">Source</th>
            <th scope="col">Inputs</th>
            <th scope="col">Renditions</th>
            <th scope="col" class="number">
              Live for
            </th>
          </tr>
        </thead>
        <tbody>
          {streams.map((stream) => (
            <Row key={stream.id} stream={stream} />
          ))}
        </tbody>
      </table>
      {streams.length === 0 && !busy ? <p class="dim none">No stream fits.</p> : null}
    </div>
  );
}

function Row({ stream }: { stream: Summary }) {
  const { tone, word, more } = standing(stream);
  const source = [
    stream.protocol === null ? null : protocol(stream.protocol),
    stream.video_width === null ? null : `${stream.video_width}×${stream.video_height}`,
    stream.frame_rate === null ? null : fps(stream.frame_rate),
  ].filter((part) => part !== null);
  return (
    <tr>
      <td class="cell-state">
        <Badge tone={tone} title={more}>
          {word}
        </Badge>
      </td>
      <th scope="row" class="cell-name">
        <a href={toStream(stream.id)}>{stream.name}</a>
        <span class="dim">#{stream.id}</span>
      </th>
      <td class="cell-source">
        {source.length > 0 ? source.join(' · ') : <span class="dim">{stream.pull ? 'Pulled' : 'Pushed'}</span>}
      </td>
      <td class="cell-inputs">
        <Input name="Primary" live={stream.live} on={stream.on_air === 'primary'} />
        {stream.pull ? null : <Input name="Backup" live={stream.backup_live} on={stream.on_air === 'backup'} />}
      </td>
      <td class="cell-renditions dim">{stream.transcoding ? stream.qualities.join(', ') : '–'}</td>
      <td class="cell-since number">
        {stream.live_since === null ? <span class="dim">–</span> : duration((Date.now() - Date.parse(stream.live_since)) / 1_000)}
      </td>
    </tr>
  );
}

function Input({ name, live, on }: { name: string; live: boolean; on: boolean }) {
  const words = `${name}: ${on ? 'on air' : live ? 'standing by' : 'not connected'}`;
  return (
    <span class="input-mark" data-live={live} data-on={on} title={words}>
      <span aria-hidden="true">{name.charAt(0)}</span>
      <span class="off-screen">{words}</span>
    </span>
  );
}
