/** The panel's icons, 20 by 20, drawn in the colour of the text. They say nothing to screen readers: what bears them has words. */

const PATHS = {
  copy: 'M7 7V4.5A1.5 1.5 0 0 1 8.5 3h7A1.5 1.5 0 0 1 17 4.5v7a1.5 1.5 0 0 1-1.5 1.5H13M4.5 7h7A1.5 1.5 0 0 1 13 8.5v7a1.5 1.5 0 0 1-1.5 1.5h-7A1.5 1.5 0 0 1 3 15.5v-7A1.5 1.5 0 0 1 4.5 7Z',
  check: 'm4 10.5 4 4 8-9',
  eye: 'M2 10s3-5.5 8-5.5S18 10 18 10s-3 5.5-8 5.5S2 10 2 10Zm8 2.3a2.3 2.3 0 1 0 0-4.6 2.3 2.3 0 0 0 0 4.6Z',
  hide: 'M3 3l14 14M8.3 4.7A8 8 0 0 1 10 4.5c5 0 8 5.5 8 5.5a13 13 0 0 1-2.2 2.8M5.6 6A13 13 0 0 0 2 10s3 5.5 8 5.5a8 8 0 0 0 4-1.1M8.3 8.4a2.3 2.3 0 0 0 3.3 3.3',
  plus: 'M10 4v12M4 10h12',
  pencil: 'm12.5 4.5 3 3M3.5 16.5l.7-3.3L13.8 3.6a1.4 1.4 0 0 1 2 0l.6.6a1.4 1.4 0 0 1 0 2L6.8 15.8Z',
  trash: 'M3.5 5.5h13M8 5.5V3.5h4v2M5.5 5.5l.6 10a1.5 1.5 0 0 0 1.5 1.5h4.8a1.5 1.5 0 0 0 1.5-1.5l.6-10',
  renew: 'M16.5 8A7 7 0 0 0 4.2 6.3L3 7.7M3 3.7v4h4M3.5 12a7 7 0 0 0 12.3 1.7l1.2-1.4M17 16.3v-4h-4',
  camera: 'M3.5 5.5h8A1.5 1.5 0 0 1 13 7v6a1.5 1.5 0 0 1-1.5 1.5h-8A1.5 1.5 0 0 1 2 13V7a1.5 1.5 0 0 1 1.5-1.5ZM13 9l5-2.7v7.4L13 11',
  sun: 'M10 13.2a3.2 3.2 0 1 0 0-6.4 3.2 3.2 0 0 0 0 6.4ZM10 2v2M10 16v2M2 10h2M16 10h2M4.3 4.3l1.4 1.4M14.3 14.3l1.4 1.4M4.3 15.7l1.4-1.4M14.3 5.7l1.4-1.4',
  moon: 'M16.5 12A7 7 0 0 1 8 3.5a7 7 0 1 0 8.5 8.5Z',
  screen: 'M3.5 4h13A1.5 1.5 0 0 1 18 5.5v7a1.5 1.5 0 0 1-1.5 1.5h-13A1.5 1.5 0 0 1 2 12.5v-7A1.5 1.5 0 0 1 3.5 4ZM7 17h6M10 14v3',
  leave: 'M8 3.5H5A1.5 1.5 0 0 0 3.5 5v10A1.5 1.5 0 0 0 5 16.5h3M12.5 13.5 16 10l-3.5-3.5M16 10H8',
  back: 'M12 4.5 6.5 10l5.5 5.5',
  down: 'm5 7.5 5 5 5-5',
  out: 'M8 4.5H4.5A1.5 1.5 0 0 0 3 6v9.5A1.5 1.5 0 0 0 4.5 17H14a1.5 1.5 0 0 0 1.5-1.5V12M11.5 3H17v5.5M17 3l-7.5 7.5',
  warning: 'M10 7.5v3.5M10 13.8v.2M8.8 3.7 2.3 14.9A1.4 1.4 0 0 0 3.5 17h13a1.4 1.4 0 0 0 1.2-2.1L11.2 3.7a1.4 1.4 0 0 0-2.4 0Z',
  search: 'M9 14.5A5.5 5.5 0 1 0 9 3.5a5.5 5.5 0 0 0 0 11ZM13 13l4 4',
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 20 20" width="20" height="20" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}

/** The player's sign: water that passes a wall. */
export function Sign({ class: name }: { class?: string }) {
  return (
    <svg class={`sign ${name ?? ''}`} viewBox="0 0 120 60" aria-hidden="true">
      <path class="wall" d="M57 27v29" />
      <path class="water" d="M2 12h52c18 0 12 34 30 34h34" />
      <path class="water" d="M2 25h42m24 32h36" />
    </svg>
  );
}
