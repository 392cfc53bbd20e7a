// A task of three turns at which even a random model earns something: the share of small letters in what it says.
import { defineEnvironment, z } from 'seeupo/environment';

const TURNS = 3;
const task = (id: string, split: 'train' | 'heldout' | 'demonstration') => ({ id, split, word: id.repeat(3) });

export default defineEnvironment({
  name: 'letters',
  task: z.object({ word: z.string() }),
  tasks: [
    ...['a', 'b', 'c', 'd'].map((id) => task(id, 'train')),
    task('e', 'heldout'),
    ...['f', 'g'].map((id) => task(id, 'demonstration')),
  ],
  turns: TURNS,
  prompt: ({ word }) => `Say ${word}.`,
  tools: { say: { description: 'says', parameters: z.object({ text: z.string() }), run: ({ text }) => text } },
  next: ({ turns }) => (turns.length < TURNS ? 'Again.' : null),
  verify({ turns }) {
    const said = turns.map(({ content }) => content).join('');
    return said === '' ? 0 : (said.match(/[a-z]/g) ?? []).length / said.length;
  },
  solve: ({ word }) => Array.from({ length: TURNS }, () => `CALL say('${word}')`),
});
