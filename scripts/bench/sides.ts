import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { inRuntime, inSetUpSources, logDir, referencePython } from '../setup/paths.js';
import { Side } from './side.js';
import type { SideName } from './results.js';
import { BENCH_LORA, type WorkRow } from './works.js';

/** One process per side for one row, both on so many threads; the versions that they report. */
export async function startSides(
  wanted: readonly SideName[],
  row: WorkRow,
  model: string,
  threads: number,
  replicas: number,
): Promise<{ sides: Partial<Record<SideName, Side>>; versions: Record<string, string> }> {
  const adapter = inRuntime('bench', 'adapter.safetensors');
  const env = { OMP_NUM_THREADS: String(threads), TF_NUM_INTRAOP_THREADS: String(threads), TF_CPP_MIN_LOG_LEVEL: '2' };
  const sides: Partial<Record<SideName, Side>> = {};
  const versions: Record<string, string> = {};
  try {
    // Ours is always asked: the LoRA matrices that both start from are the engine's own.
    const ours = await Side.start(
      'ours',
      process.execPath,
      [
        fileURLToPath(new URL('./ours-side.js', import.meta.url)),
        '--model',
        model,
        '--precision',
        row.precision,
        '--replicas',
        String(replicas),
      ],
      { ...env, ...(replicas > 1 && { TF_NUM_INTRAOP_THREADS: String(Math.max(1, Math.floor(threads / replicas))) }) },
      path.join(logDir, 'bench-ours.log'),
    );
    sides.ours = ours;
    Object.assign(versions, (await ours.call({ call: 'hello', adapterFile: adapter })).versions);
    if (wanted.includes('torch')) {
      const program = path.join(path.dirname(inSetUpSources()), 'bench', 'torch_side.py');
      const lora = ['--adapter', adapter, '--rank', String(BENCH_LORA.rank), '--alpha', String(BENCH_LORA.alpha)];
      const args = [
        program,
        '--model',
        model,
        '--precision',
        row.precision,
        '--weights',
        row.torchWeights,
        '--threads',
        String(threads),
        ...lora,
      ];
      sides.torch = await Side.start(
        'torch',
        referencePython,
        args,
        { ...env, PYTHONDONTWRITEBYTECODE: '1', TRANSFORMERS_VERBOSITY: 'error' },
        path.join(logDir, 'bench-torch.log'),
      );
      Object.assign(versions, (await sides.torch.call({ call: 'hello' })).versions);
    }
    if (!wanted.includes('ours')) {
      await ours.end();
      delete sides.ours;
    }
    return { sides, versions };
  } catch (error) {
    await endSides(sides);
    throw error;
  }
}

export async function endSides(sides: Partial<Record<SideName, Side>>): Promise<void> {
  await Promise.all(Object.values(sides).map((side) => side.end()));
}
