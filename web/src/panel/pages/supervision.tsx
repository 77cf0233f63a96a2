/** The supervision tree, as it is now: who runs, who was restarted and why, and how long messages wait. */

import { useState } from 'preact/hooks';
import { call } from '../api';
import { useEvents } from '../follow';
import { count, full, milliseconds, moment } from '../format';
import { Badge } from '../parts/badge';
import { Confirm } from '../parts/dialog';
import { Icon } from '../parts/icon';
import { LinkState } from '../parts/link';
import { say } from '../parts/toast';
import { toStream } from '../route';
import { usePageTitle } from '../shell';
import type { Actor, Tree } from '../types';
import { actorTone, restartCost } from '../words';

/** An actor and the stream that it is of. */
interface Wanted {
  actor: Actor;
  stream: number | null;
}

export function SupervisionPage() {
  usePageTitle('Supervision');
  const [tree, setTree] = useState<Tree | null>(null);
  const [wanted, setWanted] = useState<Wanted | null>(null);
  const link = useEvents('/ops/tree', { tree: setTree });
  const actors = tree === null ? [] : flat(tree);
  const slowest = Math.max(0, ...actors.map(({ mailbox_lag_ms }) => mailbox_lag_ms ?? 0));
  const troubled = actors.filter(({ state }) => ['bad', 'warn'].includes(actorTone(state))).length;

  const restart = async ({ actor, stream }: Wanted) => {
    await call('POST', '/ops/tree/restart', { stream, actor: actor.actor });
    say(`${actor.actor} is restarted.`);
  };

  return (
    <>
      <div class="page-head">
        <div>
          <h1 tabIndex={-1}>Supervision</h1>
          <p class="dim">
            Every actor of the server, and what became of those before it. <LinkState link={link} />
          </p>
        </div>
      </div>
      <dl class="tiles" aria-busy={tree === null}>
        <Tile name="Actors" value={tree === null ? '–' : String(actors.length)} />
        <Tile name="In trouble" value={tree === null ? '–' : String(troubled)} tone={troubled > 0 ? 'warn' : undefined} />
        <Tile name="Restarts" value={tree === null ? '–' : String(actors.reduce((sum, { restarts }) => sum + restarts, 0))} />
        <Tile name="Longest mailbox wait" value={tree === null ? '–' : milliseconds(slowest)} tone={slowest > 250 ? 'warn' : undefined} />
        <Tile
          name="Actors’ thread"
          value={tree === null ? '–' : tree.arbiter.state === 'running' ? 'running' : 'stuck'}
          tone={tree !== null && tree.arbiter.state !== 'running' ? 'bad' : undefined}
        />
      </dl>
      {tree === null ? null : (
        <section class="card table-card" aria-label="Supervision tree">
          <table class="tree">
            <caption class="off-screen">Actors; those below another one are supervised by it</caption>
            <thead>
              <tr>
                <th scope="col">Actor</th>
                <th scope="col">State</th>
                <th scope="col" class="number">
                  Restarts
                </th>
                <th scope="col">Last exit</th>
                <th scope="col" class="number">
                  Wait
                </th>
                <th scope="col">
                  <span class="off-screen">Restart</span>
                </th>
              </tr>
            </thead>
            <tbody>
              <Rows actor={tree} depth={0} stream={null} onRestart={setWanted} />
            </tbody>
          </table>
        </section>
      )}
      {wanted === null ? null : (
        <Confirm
          title={`Restart ${wanted.actor.actor}${wanted.stream === null ? '' : ` of stream ${wanted.stream}`}?`}
          action="Restart"
          danger={wanted.actor.actor === 'StreamSupervisor' || wanted.actor.actor === 'PipelineActor'}
          onConfirm={() => restart(wanted)}
          onClose={() => setWanted(null)}
        >
          <p>{restartCost(wanted.actor.actor)}</p>
        </Confirm>
      )}
    </>
  );
}

function flat(actor: Actor): Actor[] {
  return [actor, ...actor.children.flatMap(flat)];
}

function Tile({ name, value, tone }: { name: string; value: string; tone?: string | undefined }) {
  return (
    <div class="tile" data-tone={tone}>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

interface RowsProps {
  actor: Actor;
  depth: number;
  stream: number | null;
  onRestart: (wanted: Wanted) => void;
}

/** An actor and those below it. */
function Rows({ actor, depth, stream, onRestart }: RowsProps) {
  const own = actor.actor === 'StreamSupervisor' ? Number(actor.name) : stream;
  const restartable = restartCost(actor.actor) !== null && actor.state !== 'finishing';
  return (
    <>
      <tr data-depth={depth}>
        <th scope="row" class="cell-actor">
          <span class="twig" data-depth={depth} aria-hidden="true" />
          <span class="actor-name">
            {actor.actor}
            <span class="off-screen">, level {depth + 1},</span>{' '}
            {actor.actor === 'StreamSupervisor' ? (
              <a href={toStream(Number(actor.name))}>stream {actor.name}</a>
            ) : actor.actor === 'Root' ? null : (
              <span class="dim">{actor.name}</span>
            )}
            {actor.pid === null ? null : <span class="dim"> · pid {actor.pid}</span>}
          </span>
        </th>
        <td class="cell-state">
          <Badge tone={actorTone(actor.state)}>{actor.state}</Badge>
        </td>
        <td class="number" data-label="restarts">
          {actor.restarts === 0 ? <span class="dim">0</span> : <b>{actor.restarts}</b>}
        </td>
        <td class="cell-exit" data-none={actor.last_exit === null}>
          {actor.last_exit === null ? (
            <span class="dim">–</span>
          ) : (
            <>
              <span class="phone dim">{count(actor.restarts, 'restart')} · </span>
              {actor.last_exit}
              {actor.last_exit_at === null ? null : (
                <span class="dim" title={full(actor.last_exit_at)}>
                  {' '}
                  · {moment(actor.last_exit_at)}
                </span>
              )}
            </>
          )}
        </td>
        <td class="number" data-label="wait">
          {actor.mailbox_lag_ms === null ? <span class="dim">–</span> : milliseconds(actor.mailbox_lag_ms)}
        </td>
        <td class="cell-action">
          {restartable ? (
            <button
              type="button"
              class="quiet square"
              title={`Restart ${actor.actor}`}
              aria-label={`Restart ${actor.actor} ${own === null ? actor.name : `of stream ${own}`}`}
              onClick={() => onRestart({ actor, stream: own })}
            >
              <Icon name="renew" />
            </button>
          ) : null}
        </td>
      </tr>
      {actor.children.map((child) => (
        <Rows key={`${child.actor} ${child.name}`} actor={child} depth={depth + 1} stream={own} onRestart={onRestart} />
      ))}
    </>
  );
}
