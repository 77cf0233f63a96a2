/** What the ingest doctor finds wrong with what an encoder sends, and how it is mended. */

import { capitalised } from '../format';
import { Badge } from '../parts/badge';
import type { Finding } from '../types';

export function Findings({ findings }: { findings: Finding[] }) {
  if (findings.length === 0) return null;
  return (
    <ul class="refusals">
      {findings.map((finding) => (
        <Line key={finding.code} finding={finding} />
      ))}
    </ul>
  );
}

function Line({ finding: { severity, text, fix } }: { finding: Finding }) {
  return (
    <li>
      <details>
        <summary>
          <b>{capitalised(text)}</b>
          <Badge tone={severity === 'error' ? 'bad' : 'warn'}>{severity === 'error' ? 'Error' : 'Warning'}</Badge>
        </summary>
        <p>{capitalised(fix.text)}</p>
        <dl class="facts">
          <dt>OBS</dt>
          <dd>{fix.obs}</dd>
          <dt>ffmpeg</dt>
          <dd>{fix.ffmpeg}</dd>
        </dl>
      </details>
    </li>
  );
}
