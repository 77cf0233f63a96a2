/** What the API answers, as far as the panel reads it. Field names are the API's. */

export type Slot = 'primary' | 'backup';

/** The panel's own session. */
export interface Session {
  signed_in: boolean;
  client_id: number | null;
  version: string | null;
}

/** What the tree knows of a stream, in short: `status` of `/ops/events`. */
export interface Status {
  id: number;
  state: 'idle' | 'waiting' | 'on_air' | 'holding' | 'ended';
  on_air: Slot | null;
  live: boolean;
  backup_live: boolean;
  live_since: string | null;
  transcoding: boolean;
  protocol: string | null;
  video_width: number | null;
  video_height: number | null;
  frame_rate: number | null;
  qualities: string[];
}

/** An entry of `/ops/streams`. */
export interface Summary extends Status {
  name: string;
  active: boolean;
  pull: boolean;
}

/** A stream of `/streaming/streams`. */
export interface Stream {
  id: number;
  name: string;
  active: boolean;
  pull: boolean;
  uri: string | null;
  srt_passphrase: string | null;
  quality_set_id: number | null;
  token: string;
  push_url: string | null;
  backup_push_url: string | null;
  push_url_srt: string | null;
  backup_push_url_srt: string | null;
  push_url_whip: string | null;
  created_at: string;
  iframe_url: string;
  hls_cmaf_url: string;
  dash_url: string;
}

export interface Publisher {
  id: number;
  protocol: string;
  peer: string;
  agent: string | null;
  age_s: number;
  silent_s: number | null;
  bytes: number;
  video_units: number;
  dropped_units: number;
  width: number | null;
  height: number | null;
  sample_rate: number | null;
  gop_ms: number | null;
  transport: { rtt_ms?: number | null; packets_lost?: number | null; packets_dropped?: number | null } | null;
}

/** What the ingest doctor finds. */
export interface Finding {
  code: string;
  severity: 'warning' | 'error';
  text: string;
  fix: { text: string; obs: string; ffmpeg: string };
}

export interface SlotDetail {
  slot: Slot;
  live: boolean;
  state: 'absent' | 'silent' | 'undecoded' | 'received' | 'decoding';
  session: Publisher | null;
  doctor: Finding[];
}

export interface PullDetail {
  state: 'waiting' | 'trying' | 'on' | 'given_up';
  source: number;
  uri: string;
  sources: number;
  tries: number;
  last_error: string | null;
  next_try_s: number | null;
  gives_up_s: number | null;
}

/** `detail` of a stream's events. */
export interface Detail {
  id: number;
  state: Status['state'] | 'restarting' | 'degraded';
  on_air: Slot | null;
  chosen: Slot | null;
  shown: Slot | null;
  hold_remaining_s: number | null;
  mode: 'freeze' | 'hitless';
  standby: 'hot' | 'warm';
  delay_ms: number;
  alignment: { state: string; offset_ms: number | null };
  slots: SlotDetail[];
  pipeline: {
    state: string;
    pid: number | null;
    restarts: number;
    renditions: string[];
    frames: number;
    repeated: number;
    dropped: number;
    speed: number | null;
  } | null;
  pull: PullDetail | null;
  /** Number of the newest refusal. */
  refusals: number;
}

/** An entry of the journal; its event's own fields stand beside these. */
export interface Entry {
  seq: number;
  at: string;
  event: string;
  text: string;
  state?: string;
  live?: boolean;
  slot?: Slot | null;
  filled_ms?: number;
  silence_ms?: number;
}

export interface Refusal {
  seq: number;
  first: string;
  last: string;
  times: number;
  rule: string;
  slot: Slot;
  protocol: string;
  address: string;
  agent: string | null;
  told: { text: string; code: string | null } | null;
  retry_after_s: number | null;
}

export interface Page<T> {
  items: T[];
  next: number | null;
}

/** One actor of `/ops/tree`. */
export interface Actor {
  actor: string;
  name: string;
  state: string;
  generation: number;
  restarts: number;
  last_exit: string | null;
  last_exit_at: string | null;
  mailbox_lag_ms: number | null;
  pid: number | null;
  children: Actor[];
}

export interface Tree extends Actor {
  arbiter: { state: 'running' | 'stuck'; tick_age_ms: number };
}

export interface Receipt {
  token: string;
  closed: { session: number; slot: Slot; protocol: string; address: string | null; took_ms: number | null }[];
}

export interface QualitySets {
  live: { id: number; name: string; default: boolean; qualities: { name: string }[] }[];
}

export interface Failover {
  mode: 'freeze' | 'hitless' | null;
  standby: 'hot' | 'warm' | null;
  delay_ms: number | null;
  effective: { mode: string; standby: string; delay_ms: number };
}
