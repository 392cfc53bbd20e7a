import { runInNewContext } from 'node:vm';
import { setFlagsFromString } from 'node:v8';
import type { Task } from '../../../schemas/task.js';
import { canonicalJson } from '../../artifacts/canonical-json.js';
import { quantile } from '../../numerics/quantile.js';
import { EnvironmentProtocolError, EpisodeLost, type RestorableEnvironment } from '../environment.js';
import { hostileActions } from './hostile-actions.js';
import { act, Player, type Played } from './player.js';

/** How the kit gets at an environment. */
export interface Subject {
  /** A new client, or a new instance of an environment that lives in this process. */
  open(): RestorableEnvironment & { solution?(taskId: string): Promise<readonly string[] | null> };
  /** Loses every live episode, as a killed process does; `open` works again when it returns. The kit's own are named, for who can only close them. */
  crash(episodeIds: readonly string[]): Promise<void>;
  /** Memory of the process that holds the episodes, in bytes; absent if it is this process, null if nobody can see it. */
  readonly memory?: (() => number) | null;
}

export interface CheckOptions {
  /** Episodes of the leak check; 0 leaves it out. */
  readonly leakEpisodes: number;
  /** After so long, in milliseconds, the leak check makes do with the episodes that it has played. */
  readonly maxLeakMs: number;
  /** Tasks that are played, spread over both splits. */
  readonly tasks: number;
  /** A step may take so long, in milliseconds. */
  readonly maxStepMs: number;
  readonly onProgress?: (line: string) => void;
}

export interface Finding {
  readonly check: string;
  /** Null: could not be looked at. */
  readonly holds: boolean | null;
  readonly detail: string;
}

export const DEFAULT_CHECK_OPTIONS: CheckOptions = { leakEpisodes: 10_000, maxLeakMs: 300_000, tasks: 12, maxStepMs: 5_000 };
const MAX_MESSAGE_CHARACTERS = 110_000;
const CONCURRENT = 16;
/** Growth after the warm-up that is noise of allocators and of garbage not yet collected. */
const LEAK_SLACK_BYTES = 8 * 1024 * 1024;

/** What a check that does not hold throws; anything else thrown is reported as it is. */
class DoesNotHold extends Error {}

/** Tries every promise of the `Environment` interface on one environment and says which hold. */
export async function checkEnvironment(subject: Subject, options: CheckOptions = DEFAULT_CHECK_OPTIONS): Promise<Finding[]> {
  const kit = new Kit(subject, options);
  const checks: readonly (readonly [string, () => Promise<string | null>])[] = [
    ['tasks: listed the same twice, unique, the splits apart', () => kit.tasks()],
    ['reference solutions score 1', () => kit.solutions()],
    ['determinism: the same actions give the same bytes', () => kit.determinism()],
    ['repeats: the same request gives the same reply, another is a conflict', () => kit.repeats()],
    ['restore: after a crash the same hashes, and the same end', () => kit.restore()],
    ['isolation: concurrent episodes of one task do not meet', () => kit.isolation()],
    ['malformed actions: an observation or a typed error, and it lives on', () => kit.malformed()],
    ['limits: time of a step, length of a message', () => kit.limits()],
    ['leaks: memory is flat over many episodes', () => kit.leaks()],
  ];
  const findings: Finding[] = [];
  for (const [check, run] of checks) {
    options.onProgress?.(check);
    findings.push(await run().then(
      (detail): Finding => (detail === null ? { check, holds: null, detail: 'not looked at' } : { check, holds: true, detail }),
      (error: unknown): Finding => ({ check, holds: false, detail: error instanceof DoesNotHold ? error.message : `threw ${String(error)}`.slice(0, 600) }),
    ));
  }
  return findings;
}

class Kit {
  private readonly player: Player;

  constructor(
    private readonly subject: Subject,
    private readonly options: CheckOptions,
  ) {
    this.player = new Player(subject, options.tasks);
  }

  async tasks(): Promise<string> {
    const list = async () => {
      const environment = this.subject.open();
      return [await environment.listTasks('train'), await environment.listTasks('heldout')] as const;
    };
    const [train, heldout] = await list();
    expect(canonicalJson(await list()) === canonicalJson([train, heldout]), 'a second listing differs');
    expect(train.length > 0, 'there is no training task');
    expect(train.every(({ split }) => split === 'train') && heldout.every(({ split }) => split === 'heldout'), 'a task is listed under the other split');
    const ids = [...train, ...heldout].map(({ id }) => id);
    expect(new Set(ids).size === ids.length, 'an id is listed twice');
    const demonstrations = (await this.subject.open().demonstrations?.()) ?? [];
    const without = demonstrations.length === 0 ? ': a run has no warm start, and a small model may never earn a reward to learn from' : '';
    return `${train.length} training, ${heldout.length} held-out, ${demonstrations.length} demonstrations${without}`;
  }

  async solutions(): Promise<string | null> {
    let solved = 0;
    for (const task of await this.player.sample()) {
      const environment = this.subject.open();
      const solution = await environment.solution?.(task.id);
      if (!solution) continue;
      const { verdict } = await this.player.play(environment, task, solution.map((content) => act(content, environment.callFormat)));
      expect(verdict.score === 1 && verdict.success, `task ${task.id}: its solution scores ${verdict.score}`);
      solved++;
    }
    return solved === 0 ? null : `${solved} tasks`;
  }

  async determinism(): Promise<string> {
    let scripts = 0;
    for (const task of await this.player.sample()) {
      for (const actions of await this.player.scripts(task)) {
        const [first, second] = [await this.player.play(this.subject.open(), task, actions), await this.player.play(this.subject.open(), task, actions)];
        expect(same(first, second), `task ${task.id}: two episodes with the same actions differ`);
        scripts++;
      }
    }
    return `${scripts} scripts, each twice`;
  }

  async repeats(): Promise<string> {
    let checked = 0;
    for (const task of await this.player.sample()) {
      const environment = this.subject.open();
      const [actions] = await this.player.scripts(task);
      const episodeId = this.player.episodeId();
      const request = { episodeId, taskId: task.id, seed: 1 };
      const start = await environment.reset(request);
      expect(equal(await environment.reset(request), start), `task ${task.id}: a second reset of an episode differs`);
      await conflicts(environment.step({ episodeId, stepIndex: 2, action: actions![0]! }), `task ${task.id}: step 2 before step 1`);
      let done = start.done;
      let taken = 0;
      for (const action of actions!) {
        if (done) break;
        const step = { episodeId, stepIndex: taken + 1, action };
        const [once, again] = await Promise.all([environment.step(step), environment.step(step)]);
        expect(equal(once, again) && equal(await environment.step(step), once), `task ${task.id}: step ${taken + 1}, asked three times, differs`);
        await conflicts(environment.step({ ...step, action: { content: `${action.content} other`, calls: [] } }), `task ${task.id}: step ${taken + 1} with another action`);
        ({ done } = once);
        taken++;
      }
      if (done && taken > 0) await conflicts(environment.step({ episodeId, stepIndex: taken + 1, action: actions![0]! }), `task ${task.id}: a step after the end`);
      expect(equal(await environment.evaluate(episodeId), await environment.evaluate(episodeId)), `task ${task.id}: evaluate, asked twice, differs`);
      // The repeats must not have been executed: the same script without them ends the same.
      const plain = await this.player.play(this.subject.open(), task, actions!);
      expect(equal(await environment.evaluate(episodeId), plain.verdict), `task ${task.id}: repeats changed the verdict`);
      await environment.close(episodeId);
      await environment.close(episodeId);
      await environment.evaluate(episodeId).then(() => fail(`task ${task.id}: a closed episode still answers`), (error: unknown) => expect(error instanceof EpisodeLost, `a closed episode: ${String(error)}`));
      checked += taken;
    }
    return `${checked} steps, each three times`;
  }

  async restore(): Promise<string> {
    const played: { task: Task; whole: Played; cut: number; episodeId: string }[] = [];
    const environment = this.subject.open();
    for (const task of await this.player.sample()) {
      for (const actions of await this.player.scripts(task)) {
        const whole = await this.player.play(environment, task, actions);
        const cut = Math.floor(whole.actions.length / 2);
        const episodeId = this.player.episodeId();
        await environment.reset({ episodeId, taskId: task.id, seed: 1 });
        for (const [index, action] of whole.actions.slice(0, cut).entries()) await environment.step({ episodeId, stepIndex: index + 1, action });
        played.push({ task, whole, cut, episodeId });
      }
    }
    await this.subject.crash(played.map(({ episodeId }) => episodeId));
    const revived = this.subject.open();
    for (const { task, whole, cut, episodeId } of played) {
      await revived.evaluate(episodeId).then(() => fail(`task ${task.id}: an episode outlived the crash`), (error: unknown) => expect(error instanceof EpisodeLost, `after a crash: ${String(error)}, expected a lost episode`));
      const start = { episodeId, taskId: task.id, seed: 1, actions: whole.actions.slice(0, cut) };
      const observationHashes = whole.observations.slice(0, cut + 1).map(({ hash }) => hash);
      const falsified = [...observationHashes.slice(0, -1), '0'.repeat(64)];
      await revived.restore({ ...start, observationHashes: falsified }).then(
        () => fail(`task ${task.id}: a restore to other observations was accepted`),
        (error: unknown) => expect(error instanceof EnvironmentProtocolError && error.code === 'restore_mismatch', `a restore to other observations: ${String(error)}`),
      );
      expect(equal(await revived.restore({ ...start, observationHashes }), whole.observations[cut]), `task ${task.id}: the restored observation differs`);
      for (const [index, action] of whole.actions.slice(cut).entries()) {
        const after = await revived.step({ episodeId, stepIndex: cut + index + 1, action });
        expect(equal(after, whole.observations[cut + index + 1]), `task ${task.id}: step ${cut + index + 1} after the restore differs`);
      }
      expect(equal(await revived.evaluate(episodeId), whole.verdict), `task ${task.id}: the verdict after a restore differs`);
      await revived.close(episodeId);
    }
    return `${played.length} episodes`;
  }

  async isolation(): Promise<string> {
    let compared = 0;
    for (const task of await this.player.sample()) {
      const environment = this.subject.open();
      const scripts = await this.player.scripts(task);
      const alone = await Promise.all(scripts.map((actions) => this.player.play(this.subject.open(), task, actions)));
      const together = await Promise.all(Array.from({ length: CONCURRENT }, (_, n) => this.player.play(environment, task, scripts[n % scripts.length]!)));
      for (const [n, played] of together.entries()) expect(same(played, alone[n % alone.length]!), `task ${task.id}: an episode among ${CONCURRENT} differs from the same one alone`);
      compared += together.length;
    }
    return `${compared} episodes, ${CONCURRENT} at a time`;
  }

  async malformed(): Promise<string> {
    const [task] = await this.player.sample();
    const environment = this.subject.open();
    const counts = { observation: 0, error: 0 };
    for (const [what, action] of hostileActions(environment.callFormat ?? 'call-lines')) {
      const episodeId = this.player.episodeId();
      await environment.reset({ episodeId, taskId: task!.id, seed: 1 });
      try {
        const { messages } = await environment.step({ episodeId, stepIndex: 1, action });
        this.player.measure(messages);
        counts.observation++;
      } catch (error) {
        // A request too large to be read ends the connection, which a client cannot tell from a server that is away.
        const typed = error instanceof EnvironmentProtocolError || ((error as Error).name === 'EnvironmentUnavailable' && action.content.length > 1_000_000);
        expect(typed, `${what}: ${String(error)}`);
        expect(!(error instanceof EnvironmentProtocolError) || error.code !== 'environment_fault', `${what}: ${String(error)}`);
        counts.error++;
      }
      await environment.close(episodeId);
      const [actions] = await this.player.scripts(task!);
      await this.player.play(environment, task!, actions!);
    }
    return `${counts.observation} observations, ${counts.error} typed errors`;
  }

  async limits(): Promise<string> {
    const [p50, p99, max] = [quantile(this.player.times, 0.5), quantile(this.player.times, 0.99), Math.max(...this.player.times)];
    expect(max <= this.options.maxStepMs, `the slowest of ${this.player.times.length} steps took ${max.toFixed(0)} ms, the limit is ${this.options.maxStepMs}`);
    expect(this.player.longest <= MAX_MESSAGE_CHARACTERS, `a message has ${this.player.longest} characters, the limit is ${MAX_MESSAGE_CHARACTERS}`);
    return `step p50 ${p50.toFixed(2)}, p99 ${p99.toFixed(2)}, max ${max.toFixed(1)} ms (${this.player.times.length} steps); longest message ${this.player.longest} characters`;
  }

  async leaks(): Promise<string | null> {
    const { leakEpisodes, maxLeakMs } = this.options;
    if (leakEpisodes === 0 || this.subject.memory === null) return null;
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const bytes = () => {
      collect();
      return this.subject.memory?.() ?? process.memoryUsage().heapUsed;
    };
    const environment = this.subject.open();
    const tasks = await this.player.sample();
    const scripts = await Promise.all(tasks.map((task) => this.player.scripts(task)));
    const playMany = async (count: number, withinMs: number) => {
      const began = performance.now();
      let next = 0;
      const worker = async () => {
        while (next < count && performance.now() - began < withinMs) {
          const n = next++;
          const of = n % tasks.length;
          const choice = scripts[of]!;
          await this.player.play(environment, tasks[of]!, choice[Math.floor(n / tasks.length) % choice.length]!, false);
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
}

const equal = (a: unknown, b: unknown): boolean => canonicalJson(a) === canonicalJson(b);
const same = (a: Played, b: Played): boolean => equal(a.observations, b.observations) && equal(a.verdict, b.verdict);

function fail(message: string): never {
  throw new DoesNotHold(message);
}
function expect(holds: boolean, message: string): void {
  if (!holds) fail(message);
}
async function conflicts(answer: Promise<unknown>, what: string): Promise<void> {
  await answer.then(
    () => fail(`${what}: was accepted`),
    (error: unknown) => expect(error instanceof EnvironmentProtocolError && error.code === 'step_conflict', `${what}: ${String(error)}`),
  );
}
