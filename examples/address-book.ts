// An address book behind an MCP server: the server's tools are what the model can do. Here the reference server
// @modelcontextprotocol/server-memory, one process for each episode; any server is named the same way.
//   npm run quickstart -- --environment examples/address-book.ts
import { defineMcpEnvironment, z } from 'seeupo/environment';

const names = (graph: string): string[] =>
  (JSON.parse(graph) as { entities: { name: string }[] }).entities.map(({ name }) => name);

export default defineMcpEnvironment({
  name: 'address-book',
  server: ({ folder }) => ({
    command: 'node',
    args: ['../node_modules/@modelcontextprotocol/server-memory/dist/index.js'],
    env: { MEMORY_FILE_PATH: `${folder}/book.jsonl` }, // a file of the episode's own
  }),
  tools: ['search_nodes', 'delete_entities', 'open_nodes'],
  task: z.object({ people: z.record(z.string(), z.string()), wanted: z.string(), gone: z.string() }),
  tasks: './address-book.jsonl',
  turns: 2,
  start: ({ task: { people }, call }) =>
    call('create_entities', {
      entities: Object.entries(people).map(([name, phone]) => ({
        name,
        entityType: 'person',
        observations: [`phone ${phone}`],
      })),
    }),
  prompt: ({ wanted }) => `Look up ${wanted} in the address book.`,
  next: ({ task: { gone }, turns }) => (turns.length === 1 ? `Now delete ${gone}.` : null),
  async verify({ task: { people, wanted, gone }, turns, call }) {
    const lookedUp =
      turns[0]?.calls.some(
        ({ tool, accepted, result }) =>
          accepted && tool !== 'delete_entities' && result.includes(`phone ${people[wanted]}`),
      ) ?? false;
    const left = names(await call('read_graph'))
      .sort()
      .join();
    const deleted =
      left ===
      Object.keys(people)
        .filter((name) => name !== gone)
        .sort()
        .join();
    return {
      score: 0.5 * Number(lookedUp) + 0.5 * Number(deleted),
      turnsPassed: [lookedUp, deleted].slice(0, turns.length),
    };
  },
  solve: ({ wanted, gone }) => [`CALL search_nodes('${wanted}')`, `CALL delete_entities(['${gone}'])`],
});
