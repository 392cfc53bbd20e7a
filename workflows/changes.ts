import { condition, setHandler } from '@temporalio/workflow';
import type { RunRef } from '../schemas/run.js';
import { cpu } from './activity-proxies.js';
import { reasonOf } from './endings.js';
import * as messages from './messages.js';
import { problemsWithChange, spelledChange } from './settings.js';
import { refused } from './steering.js';

/** What changes touch of a run's state. */
export interface Changing {
  run: RunRef;
  /** Settings that wait for an iteration; a change builds on them. */
  next: { readonly from: number; readonly run: RunRef } | null;
  /** An iteration that was begun by an earlier execution. */
  begun: number | null;
  /** Iterations done. */
  iteration: number;
  revisions: number;
  changes: messages.SettingsChanged[];
}

export interface Changed {
  /** Undefined until the run is open. */
  state(): Changing | undefined;
  /** Whether an iteration is under way, which keeps the settings that it began with. */
  iterating(): boolean;
  /** Whether training has ended. */
  over(): boolean;
  /** Redraws what the Web UI shows. */
  changed(): void;
}

/** Enough for the Web UI; all of them are in the store. */
const CHANGES_KEPT = 20;

/** Registers what an operator may ask for during a run besides steering it: other settings, more iterations, an evaluation. */
export function changeable({ state, iterating, over, changed }: Changed) {
  let revising = 0;
  /** Evaluations asked for and not answered yet. */
  let waiting: ((answer: readonly messages.EvaluationPoint[] | Error) => void)[] = [];
  const { descriptions } = messages;

  function opened(): Changing {
    const open = state();
    if (!open) throw refused('the run is not open yet: ask again when its first step is done');
    if (over())
      throw refused(
        `training has ended after iteration ${open.iteration}: start a run with resumeFrom or forkFrom to go further`,
      );
    return open;
  }

  /** Commits a change, so that a resumed run finds it, and takes it over. One at a time: each builds on the one before. */
  async function revise(change: messages.SettingsChange): Promise<messages.SettingsChanged> {
    // Of several that wait, the first one to go on makes the others wait again.
    while (revising > 0) await condition(() => revising === 0);
    revising += 1;
    try {
      const open = opened();
      const from = open.iteration + Number(iterating() || open.begun === open.iteration);
      const revision = open.revisions + 1;
      const run = await cpu(`settings: ${spelledChange(change)}`).reviseSettings({
        run: open.run,
        revision,
        from,
        change,
      });
      const entry = { fromIteration: from + 1, change };
      // An iteration under way has a copy of its own; one that was begun and is yet to be finished finds its shape in `run`.
      const finishesFirst = from > open.iteration && !iterating();
      Object.assign(
        open,
        finishesFirst
          ? { run: { ...open.run, settings: run.settings, iterations: run.iterations }, next: { from, run } }
          : { run, next: null },
      );
      Object.assign(open, { revisions: revision, changes: [...open.changes, entry].slice(-CHANGES_KEPT) });
      changed();
      return entry;
    } catch (failure) {
      throw refused(reasonOf(failure));
    } finally {
      revising -= 1;
    }
  }

  setHandler(messages.changeSettings, revise, {
    description: descriptions.changeSettings,
    validator(change) {
      opened();
      const problems = problemsWithChange(change);
      if (problems.length > 0) throw refused(problems.join('; '));
    },
  });
  setHandler(messages.extendIterations, (total) => revise({ iterations: total }), {
    description: descriptions.extendIterations,
    validator(total) {
      const { iterations } = opened().run;
      if (!Number.isInteger(total) || total <= iterations)
        throw refused(
          `extendIterations: the new total is ${JSON.stringify(total)}, must be a whole number above ${iterations}`,
        );
    },
  });
  setHandler(
    messages.evaluateNow,
    async () => {
      let answer: readonly messages.EvaluationPoint[] | Error | undefined;
      waiting.push((given) => (answer = given));
      await condition(() => answer !== undefined);
      if (answer instanceof Error) throw refused(reasonOf(answer));
      return answer!;
    },
    { description: descriptions.evaluateNow, validator: () => void opened() },
  );

  const answer = (given: readonly messages.EvaluationPoint[] | Error) => {
    const all = waiting;
    waiting = [];
    for (const one of all) one(given);
  };
  return {
    forEvaluation: () => waiting.length > 0,
    evaluated: answer,
    evaluationFailed: (failure: unknown) => answer(failure instanceof Error ? failure : new Error(String(failure))),
    revising: () => revising > 0,
    /** Resolves when no change is being committed: an iteration must not begin between asking and having. */
    settled: () => condition(() => revising === 0),
  };
}
