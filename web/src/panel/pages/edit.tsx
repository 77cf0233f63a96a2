/** Making a stream, and changing one. */

import { useEffect, useRef, useState } from 'preact/hooks';
import { call, Failure, wordsOf } from '../api';
import { Choice, Field, Switch } from '../parts/field';
import { Icon } from '../parts/icon';
import { useLoaded } from '../parts/load';
import { Secret } from '../parts/secret';
import { say } from '../parts/toast';
import { go, toStream, toStreams } from '../route';
import { usePageTitle } from '../shell';
import type { Failover, QualitySets, Stream } from '../types';

interface Values {
  name: string;
  active: boolean;
  source: 'push' | 'pull';
  uri: string;
  quality_set_id: string;
  srt_passphrase: string;
  mode: string;
  standby: string;
  delay_ms: string;
}

const NEW: Values = {
  name: '',
  active: true,
  source: 'push',
  uri: '',
  quality_set_id: '',
  srt_passphrase: '',
  mode: '',
  standby: '',
  delay_ms: '',
};

function valuesOf(stream: Stream, failover: Failover): Values {
  return {
    name: stream.name,
    active: stream.active,
    source: stream.pull ? 'pull' : 'push',
    uri: (stream.uri ?? '').split(/\s+/).join('\n'),
    quality_set_id: stream.quality_set_id === null ? '' : String(stream.quality_set_id),
    srt_passphrase: stream.srt_passphrase ?? '',
    mode: failover.mode ?? '',
    standby: failover.standby ?? '',
    delay_ms: failover.delay_ms === null ? '' : String(failover.delay_ms),
  };
}

/** What is no number goes as it is: the server says what is wrong with it. */
function number(text: string): number | string | null {
  const value = Number(text);
  return text.trim() === '' ? null : Number.isNaN(value) ? text : value;
}

export function EditPage({ id }: { id: number | null }) {
  const loaded = useLoaded(String(id), async () => {
    const sets = await call<QualitySets>('GET', '/streaming/quality_sets');
    if (id === null) return { sets, stream: null, failover: null };
    const [stream, failover] = await Promise.all([
      call<Stream>('GET', `/streaming/streams/${id}`),
      call<Failover>('GET', `/ops/streams/${id}/failover`),
    ]);
    return { sets, stream, failover };
  });
  const title = id === null ? 'New stream' : `Edit ${loaded.value?.stream?.name ?? `stream ${id}`}`;
  usePageTitle(title);
  return (
    <div class="narrow">
      <a class="crumb" href={id === null ? toStreams : toStream(id)}>
        <Icon name="back" />
        {id === null ? 'Streams' : (loaded.value?.stream?.name ?? 'Stream')}
      </a>
      <h1 tabIndex={-1}>{title}</h1>
      {loaded.failure !== null ? (
        <p class="notice" data-tone="bad" role="alert">
          {loaded.failure.message}
        </p>
      ) : null}
      {loaded.value === null ? null : <Form id={id} {...loaded.value} />}
    </div>
  );
}

interface FormProps {
  id: number | null;
  sets: QualitySets;
  stream: Stream | null;
  failover: Failover | null;
}

function Form({ id, sets, stream, failover }: FormProps) {
  const [values, setValues] = useState<Values>(() => (stream !== null && failover !== null ? valuesOf(stream, failover) : NEW));
  const [errors, setErrors] = useState<Record<string, string[]>>({});
  const [failure, setFailure] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const form = useRef<HTMLFormElement>(null);
  const put = (change: Partial<Values>) => setValues((values) => ({ ...values, ...change }));
  const text = (field: keyof Values) => ({
    value: values[field] as string,
    onInput: (event: { currentTarget: HTMLInputElement | HTMLTextAreaElement }) => put({ [field]: event.currentTarget.value }),
  });
  const select = (field: keyof Values) => ({
    value: values[field] as string,
    onChange: (event: { currentTarget: HTMLSelectElement }) => put({ [field]: event.currentTarget.value }),
  });

  useEffect(() => {
    form.current?.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus();
  }, [errors]);

  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setErrors({});
    setFailure(null);
    let made = id;
    try {
      const fields = {
        name: values.name,
        active: values.active,
        pull: values.source === 'pull',
        uri: values.uri.trim() === '' ? null : values.uri.trim().split(/\s+/).join(' '),
        quality_set_id: values.quality_set_id === '' ? null : Number(values.quality_set_id),
        srt_passphrase: values.srt_passphrase === '' ? null : values.srt_passphrase,
      };
      const choices = {
        mode: values.mode === '' ? null : values.mode,
        standby: values.standby === '' ? null : values.standby,
        delay_ms: number(values.delay_ms),
      };
      // A stream that exists is told its failover first: what is wrong in it must not leave half a change behind.
      if (id !== null) await call('PATCH', `/ops/streams/${id}/failover`, choices);
      const answer = await call<Stream>(id === null ? 'POST' : 'PATCH', id === null ? '/streaming/streams' : `/streaming/streams/${id}`, fields);
      made = answer.id;
      if (id === null && Object.values(choices).some((choice) => choice !== null)) {
        await call('PATCH', `/ops/streams/${made}/failover`, choices);
      }
      say(id === null ? `${answer.name} is there.` : 'Saved.');
      go(toStream(made));
    } catch (error) {
      setBusy(false);
      if (error instanceof Failure && Object.keys(error.fields).length > 0) setErrors(error.fields);
      setFailure(made !== id ? `The stream is made, but its failover is not set: ${wordsOf(error)}` : wordsOf(error));
    }
  };

  const byDefault = sets.live.find((set) => set.default)?.name;
  const effective = failover?.effective;
  return (
    <form ref={form} class="edit" onSubmit={(event) => void submit(event)} noValidate>
      <section class="card">
        <h2>Stream</h2>
        <Field label="Name" errors={errors['name']}>
          {(ties) => <input {...ties} {...text('name')} class="control" autocomplete="off" autofocus={id === null} />}
        </Field>
        <Switch
          label="Switched on"
          help="Off refuses encoders and stops pulling. Switching off ends a running broadcast."
          on={values.active}
          onChange={(active) => put({ active })}
        />
        {errors['active'] === undefined ? null : <p class="error">{errors['active'].join('. ')}.</p>}
        <Field label="Renditions" errors={errors['quality_set_id']} help="A change takes effect with the next broadcast.">
          {(ties) => (
            <select {...ties} {...select('quality_set_id')} class="control">
              <option value="">Server default{byDefault === undefined ? '' : ` (${byDefault})`}</option>
              {sets.live.map((set) => (
                <option key={set.id} value={String(set.id)}>
                  {set.name}: {set.qualities.map(({ name }) => name).join(', ')}
                </option>
              ))}
            </select>
          )}
        </Field>
      </section>

      <section class="card">
        <h2>Source</h2>
        <Choice
          bare
          label="Where it comes from"
          value={values.source}
          onChange={(source) => put({ source })}
          options={[
            ['push', 'Encoders push to it'],
            ['pull', 'It is pulled'],
          ]}
        />
        {values.source === 'pull' ? (
          <Field
            label="Addresses"
            errors={errors['uri']}
            help="RTMP(S), SRT, HLS, MPEG-TS over HTTP or RTSP. Up to 16, one on each line: when one fails, the next has its turn."
          >
            {(ties) => <textarea {...ties} {...text('uri')} class="control mono" rows={4} spellcheck={false} placeholder="rtmp://origin.example/live/name" />}
          </Field>
        ) : (
          <Field label="SRT passphrase" errors={errors['srt_passphrase']} help="10 to 79 characters: SRT encoders then have to encrypt with it. A change disconnects those.">
            {(ties) => (
              <Secret
                id={ties.id}
                what="the passphrase"
                value={values.srt_passphrase}
                onValue={(srt_passphrase) => put({ srt_passphrase })}
                invalid={ties['aria-invalid']}
                describedBy={ties['aria-describedby']}
                autocomplete="off"
                placeholder="None"
              />
            )}
          </Field>
        )}
      </section>

      <section class="card">
        <h2>Failover</h2>
        <Field label="Without input, viewers see" errors={errors['mode']} help="The next broadcast is made so.">
          {(ties) => (
            <select {...ties} {...select('mode')} class="control">
              <option value="">Server default{effective === undefined || failover?.mode !== null ? '' : ` (${effective.mode})`}</option>
              <option value="freeze">the last picture, until the backup is on air: lowest latency</option>
              <option value="hitless">the backup without a seam: a fixed delay</option>
            </select>
          )}
        </Field>
        {(values.mode === '' ? effective?.mode : values.mode) !== 'hitless' ? null : (
          <Field label="Delay" errors={errors['delay_ms']} help="Milliseconds, 500 to 10000; empty follows the server.">
            {(ties) => <input {...ties} {...text('delay_ms')} class="control short" inputMode="numeric" autocomplete="off" placeholder={effective === undefined ? '' : String(effective.delay_ms)} />}
          </Field>
        )}
        <Field label="The input that is not shown" errors={errors['standby']}>
          {(ties) => (
            <select {...ties} {...select('standby')} class="control">
              <option value="">Server default{effective === undefined || failover?.standby !== null ? '' : ` (${effective.standby})`}</option>
              <option value="hot">is decoded: switches fastest</option>
              <option value="warm">is received only: saves processor time</option>
            </select>
          )}
        </Field>
      </section>

      <div class="form-end">
        <p class="error" role="alert">
          {failure}
        </p>
        <a class="button plain" href={id === null ? toStreams : toStream(id)}>
          Cancel
        </a>
        <button type="submit" class="primary" disabled={busy}>
          {id === null ? 'Create stream' : 'Save'}
        </button>
      </div>
    </form>
  );
}
