import { condition, setHandler } from '@temporalio/workflow';
import type { RunRef } from '../schemas/run.js';
import { cpu } from './activity-proxies.js';
import { reasonOf } from './failures.js';
import * as messages from './messages.js';
import { rejected } from './run-control.js';
import { formatChange, problemsWithChange } from './settings.js';

/** The part of a run's state that a change of settings may update. */
export interface MutableRun {
  run: RunRef;
  /** Settings that take effect from a later iteration on; the next change is merged into them. */
  next: { readonly from: number; readonly run: RunRef } | null;
  /** Index of an iteration that an earlier execution began and did not finish; null if there is none. */
  begun: number | null;
  /** Number of completed iterations. */
  iteration: number;
  revisions: number;
  changes: messages.SettingsChanged[];
}

export interface SettingsHooks {
  /** Undefined until openRun has returned. */
  state(): MutableRun | undefined;
  /** Whether an iteration is running; it keeps the settings with which it began. */
  iterating(): boolean;
  /** Whether training has ended. */
  over(): boolean;
  /** Redraws the run's details in the Web UI. */
  changed(): void;
}

/** Enough for the Web UI; the store has all changes. */
const CHANGES_KEPT = 20;

/** Registers the updates changeSettings, extendIterations and evaluateNow. */
export function registerSettingsHandlers({ state, iterating, over, changed }: SettingsHooks) {
  let revising = 0;
  /** One callback for each `evaluateNow` that has no answer yet. */
  let waiting: ((answer: readonly messages.EvaluationPoint[] | Error) => void)[] = [];
  const { descriptions } = messages;

  /** @throws {ApplicationFailure} Refused, unless the run is open and still trains */
  function opened(): MutableRun {
    const open = state();
    if (!open) throw rejected('the run is not open yet: ask again when its first step is done');
    if (over())
      throw rejected(
        `training has ended after iteration ${open.iteration}: start a run with resumeFrom or forkFrom to go further`,
      );
    return open;
  }

  /**
   * Commits a change to the store, so that a resumed run finds it, and applies it to this run. Changes are committed
   * one at a time, because each is merged into the one before.
   */
  async function revise(change: messages.SettingsChange): Promise<messages.SettingsChanged> {
    // One condition wakes all waiting changes; the first of them makes the others wait again.
    while (revising > 0) await condition(() => revising === 0);
    revising += 1;
    try {
      const open = opened();
      const from = open.iteration + Number(iterating() || open.begun === open.iteration);
      const revision = open.revisions + 1;
      const run = await cpu(`settings: ${formatChange(change)}`).reviseSettings({
        run: open.run,
        revision,
        from,
        change,
      });
      const entry = { fromIteration: from + 1, change };
      // A running iteration has its own copy of `run`. One that is to be finished first still needs the old fields of
      // `run`.
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
      throw rejected(reasonOf(failure));
    } finally {
      revising -= 1;
    }
  }

  setHandler(messages.changeSettings, revise, {
    description: descriptions.changeSettings,
    validator(change) {
      opened();
      const problems = problemsWithChange(change);
      if (problems.length > 0) throw rejected(problems.join('; '));
    },
  });
  setHandler(messages.extendIterations, (total) => revise({ iterations: total }), {
    description: descriptions.extendIterations,
    validator(total) {
      const { iterations } = opened().run;
      if (!Number.isInteger(total) || total <= iterations)
        throw rejected(
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
      if (answer instanceof Error) throw rejected(reasonOf(answer));
      return answer!;
    },
    { description: descriptions.evaluateNow, validator: () => void opened() },
  );

  const answerAll = (given: readonly messages.EvaluationPoint[] | Error) => {
    const callbacks = waiting;
    waiting = [];
    for (const callback of callbacks) callback(given);
  };
  return {
    evaluationRequested: () => waiting.length > 0,
    evaluated: answerAll,
    evaluationFailed: (failure: unknown) => answerAll(failure instanceof Error ? failure : new Error(String(failure))),
    revising: () => revising > 0,
    /**
     * Resolves when no change is being committed: an iteration must not begin with settings that are about to change.
     */
    untilRevised: () => condition(() => revising === 0),
  };
}
