import assert from 'node:assert/strict';
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { officialResult, officialResultFiles } from '../../../activities/environments/bfcl-results.js';
import { RestoringEnvironment } from '../../../activities/environments/restoring-environment.js';
import { sidecarEnvironment } from '../../../activities/environments/registry.js';
import { playEpisodes, type EpisodeSpec } from '../../../activities/rollout/play-episodes.js';
import { parseCalls } from '../../../activities/rollout/tool-calls.js';
import { PlayConfig } from '../../../schemas/play-config.js';
import { toyCodec } from '../../support/toy-codec.js';
import { bfclScripts, jsonLines, scriptedPolicy, transcriptCheck, type Script } from './bfcl-scripts.js';
import { startSidecar, type Sidecar } from './sidecar-process.js';

/**
 * The bar of BFCL: 800 tasks x random, mutated and junk policies, played as a model is played, exported in the official
 * layout, and judged anew by the official checker from the files alone.
 */
let sidecar: Sidecar;
before(async () => {
  sidecar = await startSidecar({ environment: 'bfcl' });
});
after(() => sidecar.kill());

async function play(scripts: readonly Script[], options: string, maxTurns: number) {
  const environment = new RestoringEnvironment(sidecarEnvironment('bfcl', sidecar.url));
  const byKey = new Map(scripts.map((script) => [`${script.policy}/${script.taskId}`, script]));
  const seats = [...byKey].map(
    ([key, { taskId }], sample): EpisodeSpec => ({
      task: { id: `${taskId}?${options}`, split: 'train', turns: 1 },
      sample,
      episodeId: key,
      randomKey: key,
    }),
  );
  const codec = toyCodec(Number.MAX_SAFE_INTEGER);
  return playEpisodes(
    seats,
    { policy: scriptedPolicy(byKey), codec, environment },
    { ...PlayConfig.parse({ maxResponseTokens: 10_000, maxTurns }), temperature: 1, seed: 0 },
  );
}

test('random, mutated and junk policies on all 800 tasks: our verdict is the official checker’s on the exported transcripts', async () => {
  const scripts = await bfclScripts();
  const folder = await mkdtemp(path.join(tmpdir(), 'seeupo-bfcl-results-'));
  const ours = new Map<string, boolean>();
  for (const policy of ['random', 'mutated', 'junk']) {
    const own = scripts.filter((script) => script.policy === policy);
    assert.equal(own.length, 800);
    for (let at = 0; at < own.length; at += 100) {
      const trajectories = await play(own.slice(at, at + 100), 'docs=compact', 60);
      for (const { taskId, success } of trajectories) ours.set(`${policy}-${at}/${taskId.split('?')[0]}`, success);
      for (const [file, lines] of officialResultFiles(`${policy}-${at}`, trajectories)) {
        await mkdir(path.dirname(path.join(folder, file)), { recursive: true });
        await writeFile(path.join(folder, file), lines);
      }
    }
  }
  const theirs = await transcriptCheck<{ folder: string; id: string; valid: boolean }>('verdicts', folder);
  assert.equal(theirs.length, 2400);
  assert.deepEqual(
    theirs.filter(({ folder: name, id, valid }) => ours.get(`${name}/${id}`) !== valid),
    [],
  );
  const solved = (policy: string) => theirs.filter((one) => one.folder.startsWith(policy) && one.valid).length;
  // Policies that are always right or always wrong would prove little.
  for (const policy of ['mutated', 'junk'])
    assert.ok(solved(policy) > 200 && solved(policy) < 700, `${policy}: ${solved(policy)} of 800`);
});

const exported = (taskId: string, ...responses: string[]) =>
  officialResult({
    taskId,
    turns: responses.map((content) => ({ action: { content, calls: parseCalls(content, 'hermes') } })),
  });
const call = '<tool_call>\n{"name": "ls", "arguments": {"a": 5.0}}\n</tool_call>';

test('an export deals responses over user turns, and keeps 5.0 apart from 5', () => {
  assert.deepEqual(exported('multi_turn_base_7?docs=compact', call, 'Done.', 'Nothing.', `${call}${call}`), {
    id: 'multi_turn_base_7',
    result: [[[{ ls: '{"a": 5.0}' }], 'Done.'], ['Nothing.'], [[{ ls: '{"a": 5.0}' }, { ls: '{"a": 5.0}' }]]],
  });
});

test('a malformed call leaves the turn open, except under the authors’ prompt, where it is none', () => {
  const half = '<tool_call>{"name": ';
  assert.deepEqual(exported('multi_turn_base_7', half, 'Done.').result, [[half, 'Done.']]);
  assert.deepEqual(exported('multi_turn_base_7?prompt=authors', half, 'Done.').result, [[half], ['Done.']]);
});

test('names that Python would read as code are exported as text, not as calls', () => {
  const evil = `<tool_call>{"name": "__import__('os').getcwd() or ls", "arguments": {}}</tool_call>`;
  assert.deepEqual(exported('multi_turn_base_7', evil).result, [[evil]]);
});

test('files lie where bfcl_eval looks for them, sorted by number', () => {
  const files = officialResultFiles('my-model', [
    { taskId: 'multi_turn_base_10', turns: [] },
    { taskId: 'multi_turn_base_9', turns: [] },
  ]);
  assert.deepEqual([...files.keys()], ['my-model/multi_turn/BFCL_v4_multi_turn_base_result.json']);
  assert.deepEqual(
    jsonLines<{ id: string }>([...files.values()][0]!).map(({ id }) => id),
    ['multi_turn_base_9', 'multi_turn_base_10'],
  );
});

test('the authors’ prompt: compact documents, results in one user message under name and place, and their closing word', async () => {
  const environment = sidecarEnvironment('bfcl', sidecar.url);
  const start = await environment.reset({ episodeId: 'authors', taskId: 'multi_turn_base_0?prompt=authors', seed: 0 });
  assert.match(start.messages[0]!.content, /<tools>\n\{"name":"\w+","description":/);
  assert.match(start.messages[0]!.content, /"response":/);
  const step = (stepIndex: number, content: string) =>
    environment.step({ episodeId: 'authors', stepIndex, action: { content, calls: parseCalls(content, 'hermes') } });
  const { messages } = await step(
    1,
    '<tool_call>\n{"name": "pwd", "arguments": {}}\n</tool_call>\n<tool_call>\n{"name": "ls", "arguments": {}}\n</tool_call>',
  );
  assert.equal(messages.length, 1);
  assert.match(
    messages[0]!.content,
    /^<tool_call>\n\{"name": "pwd_0", "content": .*\}\n<\/tool_call>\n<tool_call>\n\{"name": "ls_1", "content": .*\}\n<\/tool_call>$/,
  );
  assert.match(
    (await step(2, '<tool_call>{"name": ')).messages[0]!.content,
    /^[A-Z]/,
    'a malformed call ends the turn',
  );
  for (let n = 3; n < 5; n++) await step(n, 'Done.');
  assert.deepEqual(await step(5, 'Done.').then(({ messages: last, done }) => ({ last, done })), {
    last: [{ role: 'user', content: '[CONVERSATION_COMPLETED]' }],
    done: true,
  });
});

test('an episode that is cut in its last turn is judged by what it called there; irrelevance may cost it', async () => {
  const environment = sidecarEnvironment('bfcl', sidecar.url);
  const [truth] = (await bfclScripts()).filter(
    ({ taskId, policy }) => taskId === 'multi_turn_base_50' && policy === 'junk',
  );
  assert.ok(truth);
  await environment.reset({ episodeId: 'cut', taskId: truth.taskId, seed: 0 });
  let index = 0;
  for (const content of truth.responses.slice(0, -1))
    await environment.step({
      episodeId: 'cut',
      stepIndex: ++index,
      action: { content, calls: parseCalls(content, 'hermes') },
    });
  const cut = await environment.evaluate('cut');
  await environment.step({ episodeId: 'cut', stepIndex: ++index, action: { content: 'Done.', calls: [] } });
  assert.deepEqual(await environment.evaluate('cut'), cut);
});
