import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { canonicalJson } from '../../artifacts/canonical-json.js';
import { quantile } from '../../numerics/quantile.js';
import { lateErrors } from '../stray-errors.js';
import { differenceOf, inWords } from './difference.js';
import { HIGH, LOW, type Kit } from './kit.js';
import { DAY_MS } from './moved-world.js';
import { expect, NotLookedAt, type ProbeOutcome } from './outcome.js';
import { act, type Played } from './player.js';
import type { Checked } from './subject.js';

const MAX_MESSAGE_CHARACTERS = 110_000;
/** Growth after the warm-up that is noise of allocators and of garbage not yet collected. */
const LEAK_SLACK_BYTES = 8 * 1024 * 1024;

/** How long a promise that fails after its episode is waited for. */
const LEFT_OVER_MS = 100;

export async function tasks(kit: Kit): ProbeOutcome {
  const list = async (environment: Checked = kit.open()) =>
    [await environment.listTasks('train'), await environment.listTasks('heldout')] as const;
  const [train, heldout] = await list();
  expect(canonicalJson(await list()) === canonicalJson([train, heldout]), 'a second listing differs');
  expect(train.length > 0, 'there is no training task');
  expect(
    train.every(({ split }) => split === 'train') && heldout.every(({ split }) => split === 'heldout'),
    'a task is listed under the other split',
  );
  const ids = [...train, ...heldout].map(({ id }) => id);
  expect(new Set(ids).size === ids.length, 'an id is listed twice');
  const anew = await kit.reloaded(list);
  const [one, other] = [JSON.stringify([train, heldout]), JSON.stringify(anew)];
  expect(
    anew === null || one === other,
    `loaded again, a day later, it lists other tasks: ${anew ? inWords(one, other) : ''}`,
  );
  const demonstrations = (await kit.open().demonstrations?.()) ?? [];
  const without =
    demonstrations.length === 0
      ? ': a run has no warm start, and a small model may never earn a reward to learn from'
      : '';
  return `${train.length} training, ${heldout.length} held-out, ${demonstrations.length} demonstrations${without}`;
}

export async function solutions(kit: Kit): ProbeOutcome {
  let solved = 0;
  for (const task of await kit.player.sample()) {
    const environment = kit.open();
    const solution = await environment.solution?.(task.id);
    if (!solution) continue;
    const { verdict } = await kit.player.play(
      environment,
      task,
      solution.map((content) => act(content, environment.callFormat)),
    );
    expect(verdict.score === 1 && verdict.success, `task ${task.id}: its solution scores ${verdict.score}`);
    solved++;
  }
  return solved === 0 ? new NotLookedAt('no solutions are known (`solve`)') : `${solved} tasks`;
}

/** Each script a second time with the clock a day further and other dice, and once more with the code loaded anew. */
export function determinism(kit: Kit): ProbeOutcome {
  return kit.exercising(async () => {
    let scripts = 0;
    for (const task of await kit.player.sample()) {
      for (const actions of await kit.player.scripts(task)) {
        const first = await kit.playIn(kit.open(), task, actions, { clockMs: 0, draw: LOW });
        const alike = (again: Played | null, how: string) => {
          const difference = again && differenceOf(first, again);
          expect(
            difference === null,
            `task ${task.id}: two episodes with the same actions, ${how}, differ ${difference}`,
          );
        };
        alike(await kit.playIn(kit.open(), task, actions, { clockMs: DAY_MS, draw: HIGH }), 'the second a day later');
        alike(
          await kit.reloaded((environment) => kit.player.play(environment, task, actions)),
          'the second in a module loaded anew, a day later',
        );
        scripts++;
      }
    }
    const elsewhere = (await kit.open().inspect?.())?.toolsElsewhere ?? kit.subject.memory !== undefined;
    return `${scripts} scripts, again a day later${elsewhere ? ' (by the clock of this process: that of the server could not be moved)' : ''}`;
  });
}

export async function limits(kit: Kit): ProbeOutcome {
  if (kit.player.times.length === 0) return new NotLookedAt('no step was answered');
  const [p50, p99, max] = [
    quantile(kit.player.times, 0.5),
    quantile(kit.player.times, 0.99),
    Math.max(...kit.player.times),
  ];
  expect(
    max <= kit.options.maxStepMs,
    `the slowest of ${kit.player.times.length} steps took ${max.toFixed(0)} ms, the limit is ${kit.options.maxStepMs}`,
  );
  expect(
    kit.player.longest <= MAX_MESSAGE_CHARACTERS,
    `a message has ${kit.player.longest} characters, the limit is ${MAX_MESSAGE_CHARACTERS}`,
  );
  return `step p50 ${p50.toFixed(2)}, p99 ${p99.toFixed(2)}, max ${max.toFixed(1)} ms (${kit.player.times.length} steps); longest message ${kit.player.longest} characters`;
}

export async function leaks(kit: Kit): ProbeOutcome {
  const { leakEpisodes, maxLeakMs } = kit.options;
  if (leakEpisodes === 0) return new NotLookedAt('no episodes were asked for');
  if (kit.subject.memory === null) return new NotLookedAt('the memory of its process is not ours to see');
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const bytes = () => {
    collect();
    return kit.subject.memory?.() ?? process.memoryUsage().heapUsed;
  };
  const environment = kit.open();
  const tasks = await kit.player.sample();
  const scripts = await Promise.all(tasks.map((task) => kit.player.scripts(task)));
  const playMany = async (count: number, withinMs: number) => {
    const began = performance.now();
    let next = 0;
    const worker = async () => {
      while (next < count && performance.now() - began < withinMs) {
        const n = next++;
        const of = n % tasks.length;
        const choice = scripts[of]!;
        await kit.player.play(environment, tasks[of]!, choice[Math.floor(n / tasks.length) % choice.length]!, false);
      }
    };
    await Promise.all(Array.from({ length: 8 }, worker));
    return next;
  };
  const warmUp = await playMany(Math.ceil(leakEpisodes / 5), maxLeakMs / 5);
  const before = bytes();
  const played = await playMany(leakEpisodes - warmUp, (maxLeakMs * 4) / 5);
  const grown = bytes() - before;
  const said = `${(grown / 1024 / 1024).toFixed(1)} MiB over ${played} episodes after ${warmUp} of warm-up`;
  expect(grown <= LEAK_SLACK_BYTES, said);
  return said;
}

export async function everyTool(kit: Kit): ProbeOutcome {
  const calls = [...(await kit.calls())];
  const never = calls.filter(([, { accepted }]) => accepted === 0);
  const said = calls
    .map(([tool, { accepted, refused }]) => `${tool} ${accepted} accepted, ${refused} refused`)
    .join('; ');
  if (never.length === 0) return said;
  const refusals = never.map(
    ([tool, { lastRefusal }]) => `${tool}${lastRefusal === null ? '' : ` (${lastRefusal.slice(0, 160)})`}`,
  );
  return new NotLookedAt(
    `no call of ${refusals.join(', ')} was accepted: what it does was not seen; give \`solve\` with calls of it`,
  );
}

export async function leftOver(): ProbeOutcome {
  await sleep(LEFT_OVER_MS);
  const [first, ...others] = lateErrors();
  expect(first === undefined, `${first}${others.length > 0 ? ` (and ${others.length} more)` : ''}`);
  return 'none did';
}
