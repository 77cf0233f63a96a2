/** One stream: what viewers see, what its inputs do, how to push to it, what happened. */

import { useEffect, useRef, useState } from 'preact/hooks';
import { call } from '../api';
import { useEvents, useVisible } from '../follow';
import { duration, fps, kbps } from '../format';
import { Badge } from '../parts/badge';
import { Chart } from '../parts/chart';
import { useTick } from '../parts/clock';
import { Confirm } from '../parts/dialog';
import { Switch } from '../parts/field';
import { Icon, Sign } from '../parts/icon';
import { LinkState } from '../parts/link';
import { useLoaded } from '../parts/load';
import { say } from '../parts/toast';
import { go, toEdit, toStreams } from '../route';
import { usePageTitle } from '../shell';
import { Inputs } from '../stream/inputs';
import { Ingest } from '../stream/ingest';
import { Journal } from '../stream/journal';
import { Playback } from '../stream/playback';
import type { Secured } from '../stream/presets';
import { Pull } from '../stream/pull';
import { Refusals } from '../stream/refusals';
import { Series } from '../stream/series';
import type { Detail, Entry, Stream } from '../types';
import { protocol, standing } from '../words';

/** Entries that are kept; the server keeps as many. */
const ENTRIES = 1_000;

export function StreamPage({ id, client }: { id: number; client: number }) {
  const stream = useLoaded(String(id), () => call<Stream & Secured>('GET', `/streaming/streams/${id}`).then((stream) => withSecured(stream)));
  const [detail, setDetail] = useState<Detail | null>(null);
  const [entries, setEntries] = useState<readonly Entry[]>([]);
  const series = useRef(new Series());
  const [removing, setRemoving] = useState(false);
  const gone = useRef(false);
  usePageTitle(stream.value?.name ?? `Stream ${id}`);
  const loaded = stream.value !== null;
  useEffect(() => {
    // The heading that had the focus made way for the one with the name.
    if (loaded && document.activeElement === document.body) document.querySelector('h1')?.focus();
  }, [loaded]);

  const link = useEvents(`/ops/streams/${id}/events`, {
    open: () => stream.value !== null && stream.reload(),
    detail: (detail: Detail) => {
      series.current.add(performance.now() / 1_000, detail);
      setDetail(detail);
    },
    entry: (entry: Entry) => {
      announce(entry);
      setEntries((entries) => (entries[0] !== undefined && entry.seq <= entries[0].seq ? renumbered(entries, entry) : [entry, ...entries].slice(0, ENTRIES)));
    },
    edited: stream.reload,
    refused: stream.reload,
  });

  if (stream.failure !== null && (stream.value === null || stream.failure.status === 404)) {
    return (
      <section class="blank">
        <h1 tabIndex={-1}>{stream.failure.status === 404 ? (gone.current ? 'Deleted' : 'There is no such stream') : 'The stream cannot be shown'}</h1>
        <p class="dim">{stream.failure.status === 404 ? 'It may have been deleted.' : stream.failure.message}</p>
        <a class="button primary" href={toStreams}>
          All streams
        </a>
      </section>
    );
  }
  if (stream.value === null) return <h1 tabIndex={-1} class="loading">Stream {id}</h1>;

  const value = stream.value;
  const change = async (fields: Partial<Stream>) => {
    try {
      await call('PATCH', `/streaming/streams/${id}`, fields);
      stream.reload();
    } catch (error) {
      say(error instanceof Error ? error.message : String(error), 'bad');
    }
  };
  const remove = async () => {
    gone.current = true;
    await call('DELETE', `/streaming/streams/${id}`);
    say(`${value.name} is deleted.`);
    go(toStreams);
  };
  const running = detail !== null && (detail.state === 'on_air' || detail.state === 'holding');
  const { tone, word, more } = standing({ active: value.active, pull: value.pull, state: detail?.state ?? 'idle', on_air: detail?.on_air ?? null });

  return (
    <>
      <a class="crumb" href={toStreams}>
        <Icon name="back" />
        Streams
      </a>
      <div class="page-head">
        <div>
          <h1 tabIndex={-1}>
            {value.name} <span class="dim">#{id}</span>
          </h1>
          <p class="state-line" role="status">
            {detail === null ? null : <Badge tone={tone}>{word}</Badge>}
            <span class="dim">{detail === null ? ' ' : more}</span> <LinkState link={link} />
          </p>
        </div>
        <div class="actions">
          <Switch label="On" on={value.active} onChange={(active) => void change({ active })} />
          {value.pull ? null : (
            <a class="button plain" href={`/publish/${client}_${id}#${value.token}`} target="_blank" rel="noopener">
              <Icon name="camera" />
              Go live from this browser
            </a>
          )}
          <a class="button plain" href={toEdit(id)}>
            <Icon name="pencil" />
            Edit
          </a>
          <button type="button" class="plain square" aria-label={`Delete ${value.name}`} title="Delete" onClick={() => setRemoving(true)}>
            <Icon name="trash" />
          </button>
        </div>
      </div>

      <div class="stream-page">
        <div class="column main-column">
          <Preview id={id} client={client} running={running} holding={detail?.state === 'holding'} />
          <Figures detail={detail} />
          <Charts detail={detail} series={series.current} pull={value.pull} />
          <Journal id={id} entries={entries} />
        </div>
        <div class="column">
          {value.pull ? <Pull uri={value.uri ?? ''} detail={detail} /> : <Inputs id={id} detail={detail} />}
          {value.pull ? null : <Ingest stream={value} secured={value} onReset={stream.reload} />}
          <Refusals id={id} newest={detail?.refusals ?? 0} />
          <Playback stream={value} client={client} />
        </div>
      </div>

      {removing ? (
        <Confirm title={`Delete ${value.name}?`} action="Delete" danger onConfirm={remove} onClose={() => setRemoving(false)}>
          <p>
            {running ? 'It is on air: the broadcast ends at once. ' : ''}Its push URLs stop working, its token and its journal are gone. This cannot be undone.
          </p>
        </Confirm>
      ) : null}
    </>
  );
}

async function withSecured(stream: Stream): Promise<Stream & Secured> {
  const { push_url_rtmps, backup_push_url_rtmps } = await call<Secured>('GET', `/ops/streams/${stream.id}`);
  return { ...stream, push_url_rtmps, backup_push_url_rtmps };
}

/** Numbers begin anew with each run of the server. */
function renumbered(entries: readonly Entry[], entry: Entry): readonly Entry[] {
  return entries.some(({ seq, at }) => seq === entry.seq && at === entry.at) ? entries : [entry];
}

/** What a screen reader has to say without being asked. */
function announce(entry: Entry): void {
  const fresh = Date.now() - Date.parse(entry.at) < 5_000;
  if (fresh && (entry.event === 'on_air' || entry.event === 'broadcast')) say(entry.text.charAt(0).toUpperCase() + entry.text.slice(1));
}

function Preview({ id, client, running, holding }: { id: number; client: number; running: boolean; holding: boolean }) {
  const visible = useVisible();
  return (
    <section class="preview" aria-label="What viewers see">
      {running && visible ? (
        <iframe src={`/streams/${client}_${id}`} title="The player, as viewers have it" allow="autoplay; fullscreen; picture-in-picture" />
      ) : (
        <div class="preview-none">
          <Sign />
          <p>Nothing is on air</p>
        </div>
      )}
      {holding ? <p class="preview-note">No input: the last picture is held</p> : null}
    </section>
  );
}

function Figures({ detail }: { detail: Detail | null }) {
  const shown = detail?.slots.find(({ slot }) => slot === (detail.on_air ?? 'primary'))?.session ?? null;
  const pipeline = detail?.pipeline ?? null;
  const figures: readonly (readonly [string, string | null, (string | undefined)?])[] = [
    ['Source', shown === null ? null : protocol(shown.protocol)],
    ['Picture', shown?.width == null ? null : `${shown.width}×${shown.height}`],
    ['Keyframes', shown?.gop_ms == null ? null : `${Number((shown.gop_ms / 1_000).toFixed(1))} s`, shown?.gop_ms != null && shown.gop_ms > 2_100 ? 'warn' : undefined],
    ['Connected', shown === null ? null : duration(shown.age_s)],
    ['Repeated', pipeline === null ? null : pipeline.repeated.toLocaleString('en')],
    ['Dropped', pipeline === null ? null : pipeline.dropped.toLocaleString('en'), pipeline !== null && pipeline.dropped > 0 ? 'warn' : undefined],
  ];
  return (
    <dl class="tiles figures">
      {figures.map(([name, value, tone]) => (
        <div key={name} class="tile" data-tone={value === null ? undefined : tone}>
          <dt>{name}</dt>
          <dd>{value ?? '–'}</dd>
        </div>
      ))}
    </dl>
  );
}

function Charts({ detail, series, pull }: { detail: Detail | null; series: Series; pull: boolean }) {
  useTick(1_000, detail !== null);
  const now = performance.now() / 1_000;
  const { primary, backup } = series.inputs;
  if ([primary.kbps, backup.kbps, series.speed].every((points) => points.length === 0)) return null;
  const inputs = (key: 'kbps' | 'fps') =>
    pull
      ? [{ name: 'Source', kind: 'primary', points: primary[key] }]
      : [
          { name: 'Primary', kind: 'primary', points: primary[key] },
          { name: 'Backup', kind: 'backup', points: backup[key] },
        ];
  return (
    <section class="card charts" aria-label="Figures of the last two minutes">
      <Chart title="Bit rate" lines={inputs('kbps')} now={now} format={kbps} least={1_000} />
      <Chart title="Frames" lines={inputs('fps')} now={now} format={frames} least={30} />
      <Chart title="Encoder speed" lines={[{ name: 'Speed', kind: 'output', points: series.speed }]} now={now} format={(value) => `${value.toFixed(1)}×`} least={2} mark={1} />
    </section>
  );
}

const frames = (value: number) => fps(Math.round(value));
