import type { Task } from '../../../schemas/task.js';
import { EnvironmentProtocolError, EpisodeLost } from '../environment.js';
import { differenceOf, equal } from './difference.js';
import { hostileActions } from './hostile-actions.js';
import type { Kit } from './kit.js';
import { expect, fail, type ProbeOutcome } from './outcome.js';
import type { Played } from './player.js';

const CONCURRENT = 16;

export async function repeats(kit: Kit): ProbeOutcome {
  let checked = 0;
  for (const task of await kit.player.sample()) {
    const environment = kit.open();
    const [actions] = await kit.player.scripts(task);
    const episodeId = kit.player.episodeId();
    const request = { episodeId, taskId: task.id, seed: 1 };
    const start = await environment.reset(request);
    expect(equal(await environment.reset(request), start), `task ${task.id}: a second reset of an episode differs`);
    await conflicts(
      environment.step({ episodeId, stepIndex: 2, action: actions![0]! }),
      `task ${task.id}: step 2 before step 1`,
    );
    let done = start.done;
    let taken = 0;
    for (const action of actions!) {
      if (done) break;
      const step = { episodeId, stepIndex: taken + 1, action };
      const [once, again] = await Promise.all([environment.step(step), environment.step(step)]);
      expect(
        equal(once, again) && equal(await environment.step(step), once),
        `task ${task.id}: step ${taken + 1}, asked three times, differs`,
      );
      await conflicts(
        environment.step({ ...step, action: { content: `${action.content} other`, calls: [] } }),
        `task ${task.id}: step ${taken + 1} with another action`,
      );
      ({ done } = once);
      taken++;
    }
    if (done && taken > 0)
      await conflicts(
        environment.step({ episodeId, stepIndex: taken + 1, action: actions![0]! }),
        `task ${task.id}: a step after the end`,
      );
    expect(
      equal(await environment.evaluate(episodeId), await environment.evaluate(episodeId)),
      `task ${task.id}: evaluate, asked twice, differs`,
    );
    // The repeats must not have been executed: the same script without them ends the same.
    const plain = await kit.player.play(kit.open(), task, actions!);
    expect(equal(await environment.evaluate(episodeId), plain.verdict), `task ${task.id}: repeats changed the verdict`);
    await environment.close(episodeId);
    await environment.close(episodeId);
    await environment.evaluate(episodeId).then(
      () => fail(`task ${task.id}: a closed episode still answers`),
      (error: unknown) => expect(error instanceof EpisodeLost, `a closed episode: ${String(error)}`),
    );
    checked += taken;
  }
  return `${checked} steps, each three times`;
}

export function restore(kit: Kit): ProbeOutcome {
  return kit.exercising(() => restoring(kit));
}

async function restoring(kit: Kit): Promise<string> {
  const played: { task: Task; whole: Played; cut: number; episodeId: string }[] = [];
  const environment = kit.open();
  for (const task of await kit.player.sample()) {
    for (const actions of await kit.player.scripts(task)) {
      const whole = await kit.player.play(environment, task, actions);
      const cut = Math.floor(whole.actions.length / 2);
      const episodeId = kit.player.episodeId();
      await environment.reset({ episodeId, taskId: task.id, seed: 1 });
      for (const [index, action] of whole.actions.slice(0, cut).entries())
        await environment.step({ episodeId, stepIndex: index + 1, action });
      played.push({ task, whole, cut, episodeId });
    }
  }
  await kit.subject.crash(played.map(({ episodeId }) => episodeId));
  const revived = kit.open();
  for (const { task, whole, cut, episodeId } of played) {
    await revived.evaluate(episodeId).then(
      () => fail(`task ${task.id}: an episode outlived the crash`),
      (error: unknown) =>
        expect(error instanceof EpisodeLost, `after a crash: ${String(error)}, expected a lost episode`),
    );
    const start = { episodeId, taskId: task.id, seed: 1, actions: whole.actions.slice(0, cut) };
    const observationHashes = whole.observations.slice(0, cut + 1).map(({ hash }) => hash);
    const falsified = [...observationHashes.slice(0, -1), '0'.repeat(64)];
    await revived.restore({ ...start, observationHashes: falsified }).then(
      () => fail(`task ${task.id}: a restore to other observations was accepted`),
      (error: unknown) =>
        expect(
          error instanceof EnvironmentProtocolError && error.code === 'restore_mismatch',
          `a restore to other observations: ${String(error)}`,
        ),
    );
    expect(
      equal(await revived.restore({ ...start, observationHashes }), whole.observations[cut]),
      `task ${task.id}: the restored observation differs`,
    );
    for (const [index, action] of whole.actions.slice(cut).entries()) {
      const after = await revived.step({ episodeId, stepIndex: cut + index + 1, action });
      expect(
        equal(after, whole.observations[cut + index + 1]),
        `task ${task.id}: step ${cut + index + 1} after the restore differs`,
      );
    }
    expect(
      equal(await revived.evaluate(episodeId), whole.verdict),
      `task ${task.id}: the verdict after a restore differs`,
    );
    await revived.close(episodeId);
  }
  return `${played.length} episodes`;
}

export function isolation(kit: Kit): ProbeOutcome {
  return kit.exercising(() => isolated(kit));
}

async function isolated(kit: Kit): Promise<string> {
  let compared = 0;
  for (const task of await kit.player.sample()) {
    const environment = kit.open();
    const scripts = await kit.player.scripts(task);
    const alone = await Promise.all(scripts.map((actions) => kit.player.play(kit.open(), task, actions)));
    const together = await Promise.all(
      Array.from({ length: CONCURRENT }, (_, n) => kit.player.play(environment, task, scripts[n % scripts.length]!)),
    );
    for (const [n, played] of together.entries()) {
      const difference = differenceOf(alone[n % alone.length]!, played);
      expect(
        difference === null,
        `task ${task.id}: an episode among ${CONCURRENT} differs from the same one alone ${difference}`,
      );
    }
    compared += together.length;
  }
  return `${compared} episodes, ${CONCURRENT} at a time`;
}

export async function malformed(kit: Kit): ProbeOutcome {
  const [task] = await kit.player.sample();
  const environment = kit.open();
  const counts = { observation: 0, error: 0 };
  for (const [what, action] of hostileActions(environment.callFormat ?? 'call-lines')) {
    const episodeId = kit.player.episodeId();
    await environment.reset({ episodeId, taskId: task!.id, seed: 1 });
    try {
      const { messages } = await environment.step({ episodeId, stepIndex: 1, action });
      kit.player.measure(messages);
      counts.observation++;
    } catch (error) {
      // A request too large to be read ends the connection, which a client cannot tell from a server that is away.
      const typed =
        error instanceof EnvironmentProtocolError ||
        ((error as Error).name === 'EnvironmentUnavailable' && action.content.length > 1_000_000);
      expect(typed, `${what}: ${String(error)}`);
      expect(
        !(error instanceof EnvironmentProtocolError) || error.code !== 'environment_fault',
        `${what}: ${String(error)}`,
      );
      counts.error++;
    }
    await environment.close(episodeId);
    const [actions] = await kit.player.scripts(task!);
    await kit.player.play(environment, task!, actions!);
  }
  return `${counts.observation} observations, ${counts.error} typed errors`;
}

async function conflicts(answer: Promise<unknown>, what: string): Promise<void> {
  await answer.then(
    () => fail(`${what}: was accepted`),
    (error: unknown) =>
      expect(error instanceof EnvironmentProtocolError && error.code === 'step_conflict', `${what}: ${String(error)}`),
  );
}
