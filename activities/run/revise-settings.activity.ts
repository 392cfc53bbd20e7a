import type { RunRef } from '../../schemas/run.js';
import { ReviseSettingsInput } from '../../schemas/steps.js';
import { Settings, SettingsRevision } from '../../schemas/settings.js';
import { RunManifest } from '../../schemas/run.js';
import { inputHashOf } from '../artifacts/canonical-json.js';
import { commitOnce } from '../artifacts/commit-once.js';
import { keys } from '../artifacts/store.js';
import type { CpuDependencies } from '../dependencies.js';
import { withChange } from './change-config.js';
import { requireOwnership } from './ownership.js';
import { BadConfig, problemsWithTasks } from './resolve-config.js';
import { runRefOf } from './run-ref.js';

/**
 * Commits a change of settings from an iteration on; the run as it is from there. Control queue.
 *
 * @throws {BadConfig} naming every problem that the run would have with it
 */
export const createReviseSettings = ({ artifacts }: Pick<CpuDependencies, 'artifacts'>) =>
  async function reviseSettings(input: ReviseSettingsInput): Promise<RunRef> {
    const { run, revision, from, change } = ReviseSettingsInput.parse(input);
    const [manifest, latest] = await Promise.all([
      artifacts.getJson(run.manifest, RunManifest),
      artifacts.getJson(run.settings, Settings),
    ]);
    const config = withChange(latest.config, change);
    const problems = problemsWithTasks(config, manifest.trainTasks, manifest.heldoutTasks);
    if (problems.length > 0) throw new BadConfig(problems);
    const key = keys.settingsRevision(run.runId, revision);
    const assertOwner = () => requireOwnership(artifacts, run);
    await assertOwner();
    const step = { inputHash: inputHashOf({ before: run.settings.sha256, from, change }), assertOwner };
    const committed = await commitOnce(artifacts, key, SettingsRevision, step, async () => {
      const next: Settings = {
        kind: 'settings',
        from: { iteration: from, keptTurns: null },
        config,
        before: run.settings,
      };
      return {
        manifest: { kind: 'settings-revision' as const, revision, change, settings: await artifacts.putJson(next) },
        tokens: 0,
      };
    });
    return runRefOf(manifest, { ...run, settings: committed.manifest.settings }, config);
  };
