import type { Wait } from './backend/types/Wait';
import { rate } from './format';
import type { Say } from './words/words';

/** Why the picture waits, in one sentence. */
export function sentence(wait: Wait, say: Say): string {
  switch (wait.code) {
    case 'slow':
      return wait.needed === null
        ? say('wait_slow_unknown', { rate: rate(wait.rate) })
        : say('wait_slow', { rate: rate(wait.rate), needed: rate(wait.needed) });
    case 'nobody_reached':
      return say('wait_nobody_reached', { listed: wait.listed });
    case 'tracker_silent':
      return say('wait_tracker_silent', { tracker: wait.tracker });
    case 'part_missing':
      return say('wait_part_missing', { peers: wait.peers });
    default:
      return say(`wait_${wait.code}`);
  }
}
