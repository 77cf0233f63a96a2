/** Lines over the last two minutes, newest at the right. */

import { useRef, useState } from 'preact/hooks';
import type { Point } from '../stream/series';
import { SPAN } from '../stream/series';

export interface Line {
  readonly name: string;
  /** `primary`, `backup`, `output`: its colour. */
  readonly kind: string;
  readonly points: readonly Point[];
}

interface ChartProps {
  title: string;
  lines: readonly Line[];
  /** Of the page's clock, seconds. */
  now: number;
  format: (value: number) => string;
  /** The scale reaches at least so far. */
  least: number;
  /** A value that is marked, e.g. the speed that keeps up. */
  mark?: number;
}

const [WIDTH, HEIGHT] = [480, 112];
/** Points further apart are not joined, seconds: there was nothing between them. */
const HOLE = 4;

/** The next of 1, 2, 2.5, 5 times a power of ten: scales that people read. */
function ceiling(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  return (([1, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10].find((step) => step * power >= value * 1.05) ?? 10) as number) * power;
}

export function Chart({ title, lines, now, format, least, mark }: ChartProps) {
  const [pointed, setPointed] = useState<number | null>(null);
  const plot = useRef<SVGSVGElement>(null);
  const shown = lines.filter(({ points }) => points.some(({ at }) => at >= now - SPAN));
  const top = ceiling(Math.max(least, ...shown.flatMap(({ points }) => points.map(({ value }) => value))));
  const x = (at: number) => WIDTH - ((now - at) / SPAN) * WIDTH;
  const y = (value: number) => HEIGHT - (value / top) * HEIGHT;
  const at = pointed === null ? now : now - SPAN * (1 - pointed);
  const values = lines.map((line) => ({ ...line, value: nearest(line.points, at) }));
  const spoken = values.map(({ name, value }) => `${name} ${value === null ? 'nothing' : format(value)}`).join(', ');

  const point = (event: PointerEvent) => {
    const box = plot.current?.getBoundingClientRect();
    if (box !== undefined) setPointed(Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)));
  };

  return (
    <figure class="chart">
      <figcaption>
        <span class="chart-title">{title}</span>
        <span class="chart-values">
          {values.map(({ name, kind, value }) => (
            <span key={name} class="chart-value" data-kind={kind}>
              {lines.length > 1 ? <span class="chart-name">{name}</span> : null}
              <b>{value === null ? '–' : format(value)}</b>
            </span>
          ))}
        </span>
      </figcaption>
      <svg
        ref={plot}
        class="plot"
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`${title} over the last two minutes; now: ${spoken}`}
        onPointerMove={point}
        onPointerLeave={() => setPointed(null)}
      >
        {[0.5, 1].map((part) => (
          <line key={part} class="grid" x1={0} x2={WIDTH} y1={HEIGHT * (1 - part) + 0.5} y2={HEIGHT * (1 - part) + 0.5} />
        ))}
        {mark === undefined || mark > top ? null : <line class="mark" x1={0} x2={WIDTH} y1={y(mark)} y2={y(mark)} />}
        {shown.map(({ name, kind, points }) => {
          const runs = joined(points);
          return (
            <g key={name} data-kind={kind}>
              {/* Areas of two lines would only muddy each other. */}
              {(lines.length > 1 ? [] : runs).map((run) => (
                <path key={run[0]?.at} class="area" d={`${path(run, x, y)}L${x(run.at(-1)?.at ?? now)} ${HEIGHT}L${x(run[0]?.at ?? now)} ${HEIGHT}Z`} />
              ))}
              {runs.map((run) => (
                <path key={run[0]?.at} class="stroke" d={path(run, x, y)} />
              ))}
            </g>
          );
        })}
        {pointed === null ? null : <line class="pointer" x1={pointed * WIDTH} x2={pointed * WIDTH} y1={0} y2={HEIGHT} />}
      </svg>
      <div class="chart-scale" aria-hidden="true">
        <span>{pointed === null ? '2 min ago' : `${Math.round(SPAN * (1 - pointed))} s ago`}</span>
        <span>0 – {format(top).replace(/\.0+(?=\D)/, '')}</span>
      </div>
    </figure>
  );
}

function joined(points: readonly Point[]): Point[][] {
  const runs: Point[][] = [];
  for (const point of points) {
    const run = runs.at(-1);
    const before = run?.at(-1);
    if (run !== undefined && before !== undefined && point.at - before.at <= HOLE) run.push(point);
    else runs.push([point]);
  }
  return runs.filter((run) => run.length > 1);
}

function path(points: readonly Point[], x: (at: number) => number, y: (value: number) => number): string {
  return points.map(({ at, value }, nth) => `${nth === 0 ? 'M' : 'L'}${x(at).toFixed(1)} ${y(value).toFixed(1)}`).join('');
}

function nearest(points: readonly Point[], at: number): number | null {
  const close = points.filter((point) => Math.abs(point.at - at) <= HOLE);
  const best = close.reduce<Point | null>((best, point) => (best === null || Math.abs(point.at - at) <= Math.abs(best.at - at) ? point : best), null);
  return best?.value ?? null;
}
