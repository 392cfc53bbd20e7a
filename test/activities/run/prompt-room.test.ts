import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Environment } from '../../../activities/environments/environment.js';
import { createOpenRun } from '../../../activities/run/open-run.activity.js';
import { openedRun } from '../../../activities/run/run-context.js';
import type { Demonstration, Message } from '../../../schemas/environment-protocol.js';
import { openInput, toyConfig, toyDependencies } from '../../support/run-on-paper.js';
import { toyCodec } from '../../support/toy-codec.js';

const WARM = { ...toyConfig, warmStart: { maxTokens: 60, optimizer: { learningRate: 1e-3 } } };
const { contextLength } = toyCodec();

/** The toy run's dependencies, its environment's prompt so many characters (tokens) longer, with demonstrations of two turns each. */
function opening(longer: number, demonstrations: readonly Demonstration[] = []) {
  const toy = toyDependencies();
  const live = new Set<string>();
  const environments: typeof toy.dependencies.environments = (name, options) => {
    const inner = toy.dependencies.environments(name, options);
    return {
      name: inner.name,
      listTasks: (split) => inner.listTasks(split),
      async reset(request) {
        live.add(request.episodeId);
        const observation = await inner.reset(request);
        return { ...observation, messages: [{ role: 'system', content: 'x'.repeat(longer) }, ...observation.messages] };
      },
      close: async (episodeId) => void live.delete(episodeId),
      demonstrations: async () => [...demonstrations],
    } as Partial<Environment> as Environment;
  };
  return {
    ...toy,
    live,
    open: (config: unknown) => createOpenRun({ ...toy.dependencies, environments })(openInput('run-1', config)),
  };
}

const said = (role: Message['role'], content: string): Message => ({ role, content });
const demonstration = (taskId: string, ...answers: string[]): Demonstration => ({
  taskId,
  firstTarget: 1,
  messages: [
    said('user', 'Go.'),
    ...answers.flatMap((content) => [said('assistant', content), said('user', 'On.')]),
  ].slice(0, -1),
});

test('a prompt that leaves no room for a response is told before the run starts, with the figures, and leaves no episode behind', async () => {
  const { open, live, artifacts } = opening(contextLength);
  await assert.rejects(open(toyConfig), (error: Error) => {
    assert.match(
      error.message,
      new RegExp(
        `task a: its first prompt has \\d+ tokens and rollout.maxResponseTokens is 32, but the model reads only ${contextLength}.*describe`,
      ),
    );
    for (const task of ['task a', 'task c', 'task z']) assert.ok(error.message.includes(task)); // first and last to train on, first held out
    return true;
  });
  assert.deepEqual([...live], []);
  assert.equal(artifacts.objects.size, 0);
});

test('demonstrations of which none fits are told before the run starts, with their lengths; so is that there are none', async () => {
  const long = 'a'.repeat(100);
  await assert.rejects(opening(0, [demonstration('d', long), demonstration('e', `${long}b`)]).open(WARM), {
    name: 'BadConfig',
    message:
      /warmStart\.maxTokens is 60, but the shortest demonstrated turn has (\d+) tokens with its prompt, the longest (\d+): raise warmStart\.maxTokens/,
  });
  await assert.rejects(opening(0).open(WARM), {
    name: 'BadConfig',
    message: /has no demonstrations: set warmStart to null/,
  });
});

test('demonstrated turns that a warm start leaves out are counted among the settings without effect', async () => {
  const { open, artifacts } = opening(0, [
    demonstration('d', 'short', 'b'.repeat(100)),
    demonstration('e', 'short', 'short'),
  ]);
  const { run, inertSettings } = await open(WARM);
  assert.match(
    inertSettings.at(-1)!,
    /^warmStart: 1 of 4 demonstrated turns are left out, since warmStart\.maxTokens is 60 and the shortest .*, the longest \d+: raise/,
  );
  assert.deepEqual((await openedRun(artifacts, run, { iteration: 0 })).inertSettings, inertSettings);
  assert.doesNotMatch(
    (await opening(0, [demonstration('e', 'short')]).open(WARM)).inertSettings.join(),
    /demonstrated/,
  );
});
