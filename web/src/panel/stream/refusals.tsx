/** Encoders that were not let in: why, what they were told, and what to do. */

import { useEffect } from 'preact/hooks';
import { call } from '../api';
import { count, full, moment } from '../format';
import { Badge } from '../parts/badge';
import { useLoaded } from '../parts/load';
import type { Page, Refusal } from '../types';
import { advice, protocol } from '../words';

const SHOWN = 20;

/** `newest` is the number of the newest refusal: another one means that there is something new. */
export function Refusals({ id, newest }: { id: number; newest: number }) {
  const page = useLoaded(String(id), () => call<Page<Refusal>>('GET', `/ops/streams/${id}/refusals?limit=${SHOWN}`));
  const known = page.value?.items[0]?.seq ?? 0;
  const { reload } = page;
  useEffect(() => {
    if (newest !== known) reload();
  }, [newest]);
  const items = page.value?.items ?? [];
  return (
    <section class="card" aria-labelledby="refusals">
      <div class="card-head">
        <h2 id="refusals">Refused encoders</h2>
        {items.length > 0 ? <Badge tone="warn">{String(items.length)}</Badge> : null}
      </div>
      {items.length === 0 ? <p class="dim">None since the server started.</p> : null}
      <ul class="refusals">
        {items.map((refusal) => (
          <Line key={refusal.seq} refusal={refusal} />
        ))}
      </ul>
    </section>
  );
}

function Line({ refusal }: { refusal: Refusal }) {
  const { what, todo } = advice(refusal.rule);
  return (
    <li>
      <details>
        <summary>
          <b>{what}</b>
          <span class="dim" title={full(refusal.last)}>
            {moment(refusal.last)}
            {refusal.times > 1 ? ` · ${count(refusal.times, 'time')}` : ''}
          </span>
        </summary>
        <p>{todo}</p>
        <dl class="facts">
          <dt>From</dt>
          <dd>
            {refusal.address}
            {refusal.agent === null ? '' : `, ${refusal.agent}`}
          </dd>
          <dt>At</dt>
          <dd>
            {refusal.slot}, {protocol(refusal.protocol)}
          </dd>
          <dt>It was told</dt>
          <dd>{refusal.told === null ? 'nothing: closed without an answer' : `“${refusal.told.text}”${refusal.told.code === null ? '' : ` (${refusal.told.code})`}`}</dd>
          {refusal.times > 1 ? (
            <>
              <dt>First</dt>
              <dd>{full(refusal.first)}</dd>
            </>
          ) : null}
        </dl>
      </details>
    </li>
  );
}
