/** Both inputs of a stream: who is on air, who stands by, how long until the primary returns, and an operator's choice. */

import { useRef, useState } from 'preact/hooks';
import { call, wordsOf } from '../api';
import { duration } from '../format';
import { Badge } from '../parts/badge';
import { useCountdown } from '../parts/clock';
import { say } from '../parts/toast';
import type { Detail, Slot, SlotDetail } from '../types';
import { protocol, slotWords } from '../words';
import { Findings } from './findings';

export function Inputs({ id, detail }: { id: number; detail: Detail | null }) {
  const [busy, setBusy] = useState(false);
  const choose = async (slot: Slot | null) => {
    setBusy(true);
    try {
      await call('POST', `/ops/streams/${id}/on_air`, { slot });
    } catch (error) {
      say(wordsOf(error), 'bad');
    }
    setBusy(false);
  };
  return (
    <section class="card" aria-labelledby="inputs">
      <h2 id="inputs">Inputs</h2>
      {detail === null ? null : (
        <>
          {detail.slots.map((slot) => (
            <Input key={slot.slot} slot={slot} detail={detail} busy={busy} onChoose={() => void choose(slot.slot)} />
          ))}
          <Hold remaining={detail.hold_remaining_s} />
          {detail.chosen === null ? null : (
            <p class="notice" data-tone="warn">
              An operator chose the {detail.chosen}, for as long as it lives.{' '}
              <button type="button" class="plain" disabled={busy} onClick={() => void choose(null)}>
                Leave it to the rules
              </button>
            </p>
          )}
          <p class="dim small">{modeWords(detail)}</p>
        </>
      )}
    </section>
  );
}

function modeWords({ mode, delay_ms, alignment }: Detail): string {
  const way = mode === 'hitless' ? `Hitless, ${delay_ms / 1_000} s behind` : 'Freeze: lowest latency';
  if (alignment.state === 'locked' && alignment.offset_ms !== null) {
    const offset = Math.round(Math.abs(alignment.offset_ms));
    return `${way}. Both carry the same programme, the backup ${offset} ms ${alignment.offset_ms < 0 ? 'early' : 'late'}.`;
  }
  return alignment.state === 'searching' || alignment.state === 'candidate' ? `${way}. Comparing both programmes …` : `${way}.`;
}

function Input({ slot, detail, busy, onChoose }: { slot: SlotDetail; detail: Detail; busy: boolean; onChoose: () => void }) {
  const { session } = slot;
  const onAir = detail.on_air === slot.slot;
  const covers = !onAir && detail.shown === slot.slot;
  const { tone, word } = slotWords(slot);
  const facts = session === null ? [] : factsOf(session);
  return (
    <div class="slot" data-on={onAir}>
      <div class="slot-head">
        <h3>{slot.slot === 'primary' ? 'Primary' : 'Backup'}</h3>
        {onAir ? <Badge tone="live">On air</Badge> : null}
        {covers ? <Badge tone="warn">Stands in</Badge> : null}
        <Badge tone={tone}>{word}</Badge>
        {!onAir && slot.live && detail.on_air !== null ? (
          <button type="button" class="plain small-button" disabled={busy} onClick={onChoose}>
            Put on air
          </button>
        ) : null}
      </div>
      {session === null ? null : (
        <p class="slot-facts">
          {facts.map((fact) => (
            <span key={fact}>{fact}</span>
          ))}
        </p>
      )}
      <Findings findings={slot.doctor} />
    </div>
  );
}

function factsOf(session: NonNullable<SlotDetail['session']>): string[] {
  const { transport } = session;
  const facts = [
    protocol(session.protocol),
    session.width === null ? null : `${session.width}×${session.height}`,
    session.peer,
    session.agent,
    `for ${duration(session.age_s)}`,
    transport?.rtt_ms == null ? null : `round trip ${Math.round(transport.rtt_ms)} ms`,
    transport?.packets_lost ? `${transport.packets_lost} packets lost` : null,
    session.dropped_units > 0 ? `${session.dropped_units} units dropped` : null,
  ];
  return facts.filter((fact) => fact !== null);
}

/** The primary has to be steady for a while before it is on air again. */
function Hold({ remaining }: { remaining: number | null }) {
  const left = useCountdown(remaining);
  const whole = useRef(0);
  if (left === null) {
    whole.current = 0;
    return null;
  }
  whole.current = Math.max(whole.current, left);
  const seconds = Math.ceil(left);
  return (
    <div class="hold">
      <p id="hold">
        Primary returns in <b>{seconds} s</b> of steady media
      </p>
      <progress max={whole.current} value={whole.current - left} aria-labelledby="hold" />
    </div>
  );
}
