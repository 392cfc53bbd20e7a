import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { tensorShapes } from '../../activities/policy/weights/hugging-face.js';
import { configOf } from '../../activities/policy/weights/hugging-face-config.js';
import { writeSafetensors } from '../../activities/policy/weights/safetensors.js';

/** As fixtures/make_ends.py makes them. */
const SHAPE = {
  hidden_size: 8,
  intermediate_size: 8,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  num_key_value_heads: 2,
  head_dim: 4,
  max_position_embeddings: 64,
  tie_word_embeddings: false,
};

/**
 * A model directory, without a tokenizer, that says one token for ever: every embedding is the same, attention and MLP add
 * nothing, the head's row of that token is large.
 *
 * @param settings  more of config.json, e.g. eos_token_id
 */
export async function writeOneWordModel(
  folder: string,
  family: string,
  vocabulary: number,
  says: number,
  settings: object = {},
): Promise<void> {
  await mkdir(folder, { recursive: true });
  const json = { model_type: family, vocab_size: vocabulary, ...SHAPE, ...settings };
  await writeFile(path.join(folder, 'config.json'), JSON.stringify(json));
  const tensors = [...tensorShapes(configOf('config.json', json))].map(([name, shape]) => {
    const values = new Float32Array(shape.reduce((product, n) => product * n, 1));
    if (name.includes('norm') || name.includes('embed')) values.fill(1);
    if (name === 'lm_head.weight') values.fill(4, says * SHAPE.hidden_size, (says + 1) * SHAPE.hidden_size);
    return { name, shape: [...shape], values };
  });
  await writeFile(path.join(folder, 'model.safetensors'), writeSafetensors(tensors, { format: 'pt' }));
}
