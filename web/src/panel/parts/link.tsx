/** Whether what is shown is followed: said only when it is not. */

import type { Link } from '../follow';

export function LinkState({ link }: { link: Link }) {
  return (
    <span class="link-state" role="status">
      {link === 'broken' ? 'Connection lost, trying again …' : ''}
    </span>
  );
}
