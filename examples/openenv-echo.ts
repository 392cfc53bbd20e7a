// A task on a running OpenEnv server: the echo environment that `openenv init` makes. Its action is { message }, its observation
// { echoed_message, message_length }; GET /schema of a server shows its own. Start it with room for the episodes of a shard.
//   npm run quickstart -- --fresh --environment examples/openenv-echo.ts
import { defineOpenEnvEnvironment, ToolError, z } from 'seeupo/environment';

export default defineOpenEnvEnvironment({
  name: 'openenv-echo',
  url: 'http://127.0.0.1:8000',
  task: z.object({ word: z.string() }),
  tasks: ['apple', 'pear', 'plum', 'quince'].map((word, n) => ({
    id: word,
    split: n < 3 ? ('train' as const) : ('heldout' as const),
    word,
  })),
  turns: 1,
  prompt: ({ word }) => `Tools:\nsay(message)\nAnswer with CALL lines only. Say ${word}.`,
  action({ calls: [call] }) {
    if (!call || 'malformed' in call || call.name !== 'say') throw new ToolError("write CALL say('...')");
    return { message: call.positional[0] ?? null };
  },
  observe: ({ observation }) => String(observation['echoed_message']),
  score: ({ task, rewards }) => (rewards[0] ?? 0) > 0 && Math.abs(rewards[0]! - 0.1 * task.word.length) < 1e-9, // its reward is 0.1 per letter
});
