import type { Component, ComponentName } from './component.js';
import { temporal, s3 } from './go-programs.js';
import { withLock } from './lock.js';
import { model } from './model.js';
import { inRuntime } from './paths.js';
import { checkPrerequisites } from './prerequisites.js';
import { showProgress, type Work } from './progress.js';
import { appworld, bfcl, lint, openenv, reference } from './python-environments.js';
import { SetUpError } from './set-up-error.js';
import { tensorflow } from './tensorflow.js';
import { tensorflowBinding } from './tensorflow-binding.js';

export type { ComponentName } from './component.js';
export { programPath } from './go-programs.js';
export { smolLm2Path } from './model.js';
export { SetUpError, describeFailure } from './set-up-error.js';

/** In the order of installing within a lane. */
const components: readonly Component[] = [
  tensorflow,
  tensorflowBinding,
  model,
  bfcl,
  reference,
  openenv,
  lint,
  appworld,
  s3,
  temporal,
];

export const componentNames: readonly ComponentName[] = components.map(({ name }) => name);

/** Set up by the commands and tests that need them, or by `npm run setup -- --with NAME`. */
const onDemand: readonly ComponentName[] = ['reference', 'openenv', 'appworld', 'lint'];

/** All that a run needs. */
export const defaultComponents: readonly ComponentName[] = componentNames.filter((name) => !onDemand.includes(name));

/**
 * Provides the named components, installing what is missing; returns within milliseconds where nothing is.
 *
 * Two at once in one runtime folder wait for each other. An interrupted one is gone on with: finished components keep.
 *
 * @throws {SetUpError} naming every missing prerequisite before anything starts, or the first step that failed
 */
export async function setUp(names: readonly ComponentName[] = defaultComponents): Promise<void> {
  const wanted = withDependencies(names);
  if ((await missingOf(wanted)).length === 0) return;
  await withLock(
    inRuntime('set-up.lock'),
    async () => {
      const missing = await missingOf(wanted); // again: the one before us may have installed them
      if (missing.length === 0) return;
      const prerequisites = await Promise.all(missing.map((component) => component.prerequisites()));
      await checkPrerequisites(
        prerequisites.flat(),
        missing.reduce((sum, component) => sum + component.diskBytes, 0),
      );
      await showProgress(inLanes(missing));
    },
    (holder) => console.log(`set-up: another set-up is at work (process ${holder}), waiting for it`),
  );
}

function withDependencies(names: readonly ComponentName[]): Component[] {
  const unknown = names.filter((name) => !componentNames.includes(name));
  if (unknown.length > 0) {
    throw new SetUpError(`unknown component ${unknown.join(', ')}: expected some of ${componentNames.join(', ')}`);
  }
  const wanted = new Set(names);
  // From the last to the first: a component comes after those it needs.
  for (const component of components.toReversed()) {
    if (wanted.has(component.name)) component.after.forEach((name) => wanted.add(name));
  }
  return components.filter(({ name }) => wanted.has(name));
}

async function missingOf(wanted: readonly Component[]): Promise<Component[]> {
  const there = await Promise.all(wanted.map((component) => component.isThere()));
  return wanted.filter((_, at) => there[at] !== true);
}

/** Lanes side by side; within a lane one after another, and none after one that failed. */
function inLanes(missing: readonly Component[]): Work[] {
  const lanes = new Map<Component['lane'], Promise<void>>();
  return missing.map((component) => {
    const before = lanes.get(component.lane) ?? Promise.resolve();
    let started!: () => void;
    let failed!: (reason: Error) => void;
    const finished = new Promise<void>((resolve, reject) => {
      started = resolve;
      failed = reject;
    });
    finished.catch(() => undefined); // reported by the component itself
    lanes.set(component.lane, finished);
    return {
      component,
      run: async (step) => {
        try {
          await before.catch(() => {
            throw new SetUpError(`${component.title} was not tried, because a step before it failed`);
          });
          step.progress(0);
          await component.install(step);
          started();
        } catch (error) {
          failed(error as Error);
          throw error;
        }
      },
    };
  });
}
