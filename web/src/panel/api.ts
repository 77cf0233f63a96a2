/** Asking the API, by the session's cookie. */

import { capitalised } from './format';
import type { Page } from './types';

/** An answer that is none. */
export class Failure extends Error {
  constructor(
    readonly status: number,
    message: string,
    /** What is wrong with each field, of 422. */
    readonly fields: Record<string, string[]> = {},
    /** Seconds, of 429. */
    readonly retryAfter: number | null = null,
  ) {
    super(message);
  }
}

/** Told to `window` when the session is over. */
export const SIGNED_OUT = 'weir:signed-out';

type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE';

export async function call<T = void>(method: Method, path: string, body?: unknown): Promise<T> {
  const writes = method === 'GET' ? {} : { 'x-weir-panel': '1', 'content-type': 'application/json' };
  let answer: Response;
  try {
    answer = await fetch(path, {
      method,
      cache: 'no-store',
      credentials: 'same-origin',
      headers: { accept: 'application/json', ...writes },
      body: body === undefined ? null : JSON.stringify(body),
    });
  } catch {
    throw new Failure(0, 'The server does not answer. Is it running?');
  }
  const text = await answer.text();
  if (answer.ok) return (text === '' ? undefined : JSON.parse(text)) as T;
  if (answer.status === 401 && path !== '/panel/session') window.dispatchEvent(new Event(SIGNED_OUT));
  throw failure(answer, text);
}

function failure(answer: Response, text: string): Failure {
  const wait = Number.parseInt(answer.headers.get('retry-after') ?? '', 10);
  let said: { error?: string; errors?: Record<string, string[]> } = {};
  try {
    said = JSON.parse(text) as typeof said;
  } catch {
    // A proxy's page in place of an answer.
  }
  // "Conflict. The backup slot is not live": the status says the first part.
  const words = said.error?.replace(/^[A-Z][A-Za-z ]*\. (?=.)/, '') ?? `The server answered ${answer.status}.`;
  const message = said.errors === undefined ? words : 'Some fields need another look.';
  return new Failure(answer.status, sentence(message), said.errors ?? {}, Number.isNaN(wait) ? null : wait);
}

function sentence(text: string): string {
  const whole = capitalised(text);
  return /[.!?]$/.test(whole) ? whole : `${whole}.`;
}

/** What to tell a person of something that was thrown. */
export function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : 'Something went wrong.';
}

/** All pages of a list that goes by `after`. */
export async function all<T>(path: string): Promise<T[]> {
  const items: T[] = [];
  for (let after: number | null = 0; after !== null; ) {
    const page: Page<T> = await call<Page<T>>('GET', `${path}?limit=1000&after=${after}`);
    items.push(...page.items);
    after = page.next;
  }
  return items;
}
