/** How to push to a stream: URLs of every door, ready-made settings for OBS and ffmpeg, and a fresh token. */

import { useState } from 'preact/hooks';
import { call } from '../api';
import { Confirm, Dialog } from '../parts/dialog';
import { CopyLine } from '../parts/copy';
import { Choice } from '../parts/field';
import { Icon } from '../parts/icon';
import type { Receipt, Slot, Stream } from '../types';
import { protocol } from '../words';
import { type Door, type Preset, presets, type Secured } from './presets';

type Encoder = 'url' | 'obs' | 'ffmpeg';

const DOORS: readonly (readonly [Door, string])[] = [
  ['rtmp', 'RTMP'],
  ['rtmps', 'RTMPS'],
  ['srt', 'SRT'],
  ['whip', 'WHIP'],
];

export function Ingest({ stream, secured, onReset }: { stream: Stream; secured: Secured; onReset: () => void }) {
  const [slot, setSlot] = useState<Slot>('primary');
  const [chosen, setDoor] = useState<Door>('rtmp');
  const [encoder, setEncoder] = useState<Encoder>('url');
  const [shown, setShown] = useState(false);
  const [resetting, setResetting] = useState(false);
  const [receipt, setReceipt] = useState<Receipt | null>(null);
  const found = presets(stream, secured, slot);
  const open = DOORS.filter(([door]) => found[door] !== undefined);
  const door = found[chosen] === undefined ? open[0]?.[0] : chosen;
  const preset = door === undefined ? undefined : found[door];
  const secrets = shown ? [] : [stream.token, ...(stream.srt_passphrase === null ? [] : [encodeURIComponent(stream.srt_passphrase), stream.srt_passphrase])];

  const reset = async () => {
    const answer = await call<Receipt>('POST', `/ops/streams/${stream.id}/reset_push_token`);
    setReceipt(answer);
    onReset();
  };

  return (
    <section class="card" aria-labelledby="ingest">
      <div class="card-head">
        <h2 id="ingest">Push to it</h2>
        <button type="button" class="quiet" aria-pressed={shown} onClick={() => setShown(!shown)}>
          <Icon name={shown ? 'hide' : 'eye'} />
          {shown ? 'Hide token' : 'Show token'}
        </button>
      </div>
      {preset === undefined || door === undefined ? (
        <p class="dim">No door is open to encoders.</p>
      ) : (
        <>
          <div class="choices">
            <Choice bare label="Protocol" value={door} onChange={setDoor} options={open} />
            <Choice
              bare
              label="Input"
              value={slot}
              onChange={setSlot}
              options={[
                ['primary', 'Primary'],
                ['backup', 'Backup'],
              ]}
            />
            <Choice
              bare
              label="Encoder"
              value={encoder}
              onChange={setEncoder}
              options={[
                ['url', 'URL'],
                ['obs', 'OBS'],
                ['ffmpeg', 'ffmpeg'],
              ]}
            />
          </div>
          <Settings preset={preset} encoder={encoder} secrets={secrets} door={door} />
          {stream.active ? null : (
            <p class="notice" data-tone="warn">
              The stream is switched off: encoders are refused.
            </p>
          )}
        </>
      )}
      <div class="card-foot">
        <p class="dim small">The token is the encoder’s password. It is the same for both inputs and all protocols.</p>
        <button type="button" class="plain" onClick={() => setResetting(true)}>
          <Icon name="renew" />
          Reset token
        </button>
      </div>
      {resetting ? (
        <Confirm title="Reset the token?" action="Reset token" danger onConfirm={reset} onClose={() => setResetting(false)}>
          <p>
            The present token is refused from now on, and encoders that use it are disconnected, on every protocol. The broadcast goes on for those that come back with the
            new one within its linger time.
          </p>
        </Confirm>
      ) : null}
      {receipt === null || resetting ? null : <ReceiptDialog receipt={receipt} onClose={() => setReceipt(null)} />}
    </section>
  );
}

function Settings({ preset, encoder, secrets, door }: { preset: Preset; encoder: Encoder; secrets: readonly string[]; door: Door }) {
  return (
    <div class="settings">
      {encoder === 'url' ? <CopyLine label="Push URL" text={preset.url} secrets={secrets} /> : null}
      {encoder === 'obs' ? (
        <>
          <p class="dim small">Settings → Stream</p>
          {preset.obs.map(({ label, value }) =>
            label === 'Service' || value === '' ? (
              <p key={label} class="plain-setting">
                <span class="label">{label}</span> {value === '' ? 'stays empty' : value}
              </p>
            ) : (
              <CopyLine key={label} label={label} text={value} secrets={secrets} />
            ),
          )}
          <p class="dim small">Settings → Output, advanced</p>
          <p class="plain-setting">
            <span class="label">Video</span> x264, rate control CBR, keyframe interval 1 s, profile main, tune zerolatency{door === 'whip' ? ', x264 options bframes=0' : ''}
          </p>
          <p class="plain-setting">
            <span class="label">Audio</span> {door === 'whip' ? 'Opus' : 'AAC'}, 128 kbit/s, 48 kHz
          </p>
        </>
      ) : null}
      {encoder === 'ffmpeg' ? <CopyLine long label="ffmpeg command" text={preset.ffmpeg} secrets={secrets} /> : null}
      {preset.note === null ? null : <p class="dim small">{preset.note}</p>}
    </div>
  );
}

function ReceiptDialog({ receipt, onClose }: { receipt: Receipt; onClose: () => void }) {
  const stayed = receipt.closed.some(({ took_ms }) => took_ms === null);
  return (
    <Dialog title="The token is new" onClose={onClose}>
      <div class="dialog-body">
        {receipt.closed.length === 0 ? <p>No encoder was connected.</p> : null}
        {receipt.closed.length > 0 ? (
          <table class="receipt">
            <caption>Disconnected</caption>
            <thead>
              <tr>
                <th scope="col">Input</th>
                <th scope="col">Encoder</th>
                <th scope="col" class="number">
                  Took
                </th>
              </tr>
            </thead>
            <tbody>
              {receipt.closed.map(({ session, slot, protocol: door, address, took_ms }) => (
                <tr key={session}>
                  <td>{slot === 'primary' ? 'Primary' : 'Backup'}</td>
                  <td>
                    {protocol(door)} {address === null ? null : <>from {address}</>}
                  </td>
                  <td class="number">{took_ms === null ? 'still there' : `${took_ms} ms`}</td>
                </tr>
              ))}
            </tbody>
          </table>
        ) : null}
        <p>{stayed ? 'What is still there after 2 s cannot send anything more that counts. ' : ''}Copy the new URL into each encoder.</p>
        <CopyLine label="Token" text={receipt.token} secrets={[receipt.token]} />
      </div>
      <div class="dialog-actions">
        <button type="button" class="primary" onClick={onClose}>
          Done
        </button>
      </div>
    </Dialog>
  );
}
