import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keys } from '../../../activities/artifacts/store.js';
import { createOpenEvaluation } from '../../../activities/evaluation/open-evaluation.activity.js';
import { createOpenRun } from '../../../activities/run/open-run.activity.js';
import { resolveConfig } from '../../../activities/run/resolve-config.js';
import { openedRun } from '../../../activities/run/run-context.js';
import { firstPrompt, withTemplate } from '../../../activities/rollout/prompt.js';
import { EvaluationPlan } from '../../../schemas/evaluation-plan.js';
import { openInput, toyConfig, toyDependencies } from '../../support/run-on-paper.js';
import { toyCodec } from '../../support/toy-codec.js';

const rollout = (more: object) => ({ ...toyConfig, rollout: { ...toyConfig.rollout, ...more } });
/** A model whose template writes the date and asks for enable_thinking. */
function dated() {
  const toy = toyDependencies();
  const codec = { ...toyCodec(), templateReads: new Set(['messages', 'strftime_now', 'enable_thinking']) };
  const dependencies = { ...toy.dependencies, codec: async () => codec };
  const open = async (config: unknown) => {
    const { run } = await createOpenRun(dependencies)(openInput('run-1', config));
    return (await openedRun(toy.artifacts, run, { iteration: 0 })).config.rollout;
  };
  return { ...toy, dependencies, open };
}

test('a template that writes the date has the one at which the run was opened, for good', async () => {
  const { open } = dated();
  const { templateDate } = await open(toyConfig);
  assert.match(templateDate!, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$/);
  assert.ok(Math.abs(Date.now() - Date.parse(`${templateDate}Z`)) < 60_000);
  await new Promise((resolve) => setTimeout(resolve, 1100));
  assert.equal((await open(toyConfig)).templateDate, templateDate);
});

test('a date that was given is the one; a run whose template writes none says none', async () => {
  const { open } = dated();
  assert.equal((await open(rollout({ templateDate: '2025-01-01T00:00:00' }))).templateDate, '2025-01-01T00:00:00');
  const { dependencies, artifacts } = toyDependencies();
  const { run } = await createOpenRun(dependencies)(openInput('run-1', toyConfig));
  assert.deepEqual(
    Object.keys((await openedRun(artifacts, run, { iteration: 0 })).config.rollout).filter((name) =>
      name.startsWith('template'),
    ),
    [],
  );
});

test('template arguments stand in the run; one that the template does not ask for is refused by its name', async () => {
  const { open } = dated();
  assert.deepEqual((await open(rollout({ templateArguments: { enable_thinking: false } }))).templateArguments, {
    enable_thinking: false,
  });
  await assert.rejects(dated().open(rollout({ templateArguments: { enable_thinkng: false } })), {
    name: 'BadConfig',
    message:
      /rollout\.templateArguments\.enable_thinkng never acts: the model's chat template asks for no enable_thinkng/,
  });
});

test('an evaluation has the arguments and the date of its run, or its own', async () => {
  const { dependencies, artifacts, open } = dated();
  const { templateDate } = await open(rollout({ templateArguments: { enable_thinking: false } }));
  const evaluated = async (id: string, more: object) => {
    await createOpenEvaluation(dependencies)({
      evaluationId: id,
      config: { policy: { run: 'run-1', iteration: 'untouched' }, split: 'both', ...more },
    });
    return (await artifacts.findManifest(keys.evaluationPlan(id), EvaluationPlan))!.manifest.config;
  };
  const inherited = await evaluated('one', {});
  assert.deepEqual([inherited.templateArguments, inherited.templateDate], [{ enable_thinking: false }, templateDate]);
  const own = await evaluated('two', {
    templateArguments: { enable_thinking: true },
    templateDate: '2025-01-01T00:00:00',
  });
  assert.deepEqual([own.templateArguments, own.templateDate], [{ enable_thinking: true }, '2025-01-01T00:00:00']);
});

test('arguments that would not reach the template as they were written are refused', () => {
  const problem = (templateArguments: object): string => {
    try {
      resolveConfig(rollout({ templateArguments }));
      return '';
    } catch (error) {
      return (error as Error).message;
    }
  };
  assert.match(
    problem({ messages: [] }),
    /rollout\.templateArguments has "messages", which templates are given by themselves/,
  );
  assert.match(problem({ a: { b: 12345678901234567000 } }), /holds at a\.b a whole number past 2\^53/);
  assert.match(problem({ a: { 10: 1 } }), /holds at a the key "10": keys that are numbers lose their order/);
  assert.match(problem({ 'not a name': 1 }), /must be a name|not a name/);
  assert.equal(problem({ enable_thinking: false, documents: [{ title: 'a', n: 1.5, none: null }] }), '');
  assert.throws(() => resolveConfig(rollout({ templateDate: 'today' })), /must be a date and time without a zone/);
});

test('prompts of a run are rendered with its arguments and its date', () => {
  const seen: unknown[] = [];
  const codec = toyCodec();
  const watched = {
    ...codec,
    render: (...given: Parameters<typeof codec.render>) => (seen.push(given[1]), codec.render(...given)),
  };
  firstPrompt(
    withTemplate(watched, { templateArguments: { enable_thinking: false }, templateDate: '2025-01-01T00:00:00' }),
    [{ role: 'user', content: 'x' }],
  );
  assert.deepEqual(seen, [
    { generationPrompt: true, templateArguments: { enable_thinking: false }, now: '2025-01-01T00:00:00' },
  ]);
});
