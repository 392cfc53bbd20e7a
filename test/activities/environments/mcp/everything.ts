// Calls of the MCP reference server "everything"; the test puts its address into tasks.jsonl, beside a copy of this file.
import { defineMcpEnvironment, z } from 'seeupo/environment';

export default defineMcpEnvironment({
  name: 'everything',
  task: z.object({ url: z.string(), a: z.number(), b: z.number() }),
  tasks: './tasks.jsonl',
  turns: 3,
  server: ({ task: { url } }) => ({ url }),
  tools: ['get-sum', 'echo', 'toggle-simulated-logging', 'get-tiny-image'],
  prompt: ({ a, b }) => `What is ${a} + ${b}?`,
  observe: ({ text }) => text.replaceAll(/session [0-9a-f-]+/g, 'this session'), // differs from run to run
  next: ({ turns }) => (turns.length < 3 ? 'Go on.' : null),
  verify: ({ task: { a, b }, turns }) =>
    turns.some(({ calls }) => calls.some(({ tool, result }) => tool === 'get_sum' && result.includes(` ${a + b}.`))),
  solve: ({ a, b }) => [
    'CALL toggle_simulated_logging()',
    `CALL get_sum(${a}, ${b})`,
    'CALL toggle_simulated_logging()',
  ],
});
