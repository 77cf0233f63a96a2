/** Where viewers find a stream. */

import { CopyLine } from '../parts/copy';
import { Icon } from '../parts/icon';
import type { Stream } from '../types';

export function Playback({ stream, client }: { stream: Stream; client: number }) {
  const frame = `<iframe src="${stream.iframe_url}" width="640" height="360" allow="autoplay; fullscreen; picture-in-picture" allowfullscreen></iframe>`;
  return (
    <section class="card" aria-labelledby="playback">
      <div class="card-head">
        <h2 id="playback">Watch it</h2>
        <a class="button quiet" href={`/streams/${client}_${stream.id}`} target="_blank" rel="noopener">
          <Icon name="out" />
          Open the player
        </a>
      </div>
      <CopyLine label="Player page" text={stream.iframe_url} />
      <CopyLine label="HLS" text={stream.hls_cmaf_url} />
      <CopyLine label="DASH" text={stream.dash_url} />
      <CopyLine label="To embed" text={frame} />
    </section>
  );
}
