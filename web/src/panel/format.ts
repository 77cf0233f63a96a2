/** Numbers and times as people read them. */

export function kbps(value: number): string {
  return value >= 1000 ? `${(value / 1000).toFixed(value >= 10_000 ? 1 : 2)} Mbit/s` : `${Math.round(value)} kbit/s`;
}

/** Seconds as `4 s`, `2:05`, `3 h 20 min`, `5 d 4 h`. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const [minutes, hours, days] = [Math.floor(whole / 60), Math.floor(whole / 3600), Math.floor(whole / 86_400)];
  if (whole < 60) return `${whole} s`;
  if (hours < 1) return `${minutes}:${String(whole % 60).padStart(2, '0')}`;
  if (days < 1) return `${hours} h ${minutes % 60} min`;
  return `${days} d ${hours % 24} h`;
}

const TIME = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
const DAY = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' });
const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'long' });

export const time = (at: string) => TIME.format(new Date(at));
export const day = (at: string) => DAY.format(new Date(at));
export const full = (at: string) => FULL.format(new Date(at));

/** Time, and the day unless it is today's. */
export function moment(at: string): string {
  const date = new Date(at);
  return date.toDateString() === new Date().toDateString() ? time(at) : `${day(at)}, ${time(at)}`;
}

/** With a capital at its begin, as the server's words have none. */
export function capitalised(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

export function fps(rate: number): string {
  return `${Number(rate.toFixed(2))} fps`;
}

export function milliseconds(value: number): string {
  if (value < 0.1) return `${Math.round(value * 1_000)} µs`;
  return value < 10 ? `${value.toFixed(1)} ms` : `${Math.round(value)} ms`;
}

export function count(number: number, one: string, many = `${one}s`): string {
  return `${number.toLocaleString('en')} ${number === 1 ? one : many}`;
}
