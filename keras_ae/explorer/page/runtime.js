// Data and models: takes what the scripts with arrays hand over, and runs models with LiteRT.js.

const packed = new Map(); // By name: the type of an array, and its bytes, gzipped, in base64.
const pack = (name, type, text) => packed.set(name, { type, text });
let litert = null;

async function unpack(name) {
  if (!packed.has(name)) throw new Error("its file is missing or damaged");
  const { type, text } = packed.get(name);
  packed.delete(name);
  const stream = new Blob([Uint8Array.fromBase64(text)]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new self[type](await new Response(stream).arrayBuffer());
}

// A page from disk can neither fetch nor import files, so that all of the runtime comes by blobs.
async function startRuntime() {
  const urlOf = async (name) => URL.createObjectURL(new Blob([await unpack(name)], { type: "text/javascript" }));
  const imports = { "@litertjs/wasm-utils": await urlOf("wasm-utils.js") };
  document.head.append(element("script", { type: "importmap", textContent: JSON.stringify({ imports }) }));
  litert = await import(await urlOf("core.js"));
  self.Module = { wasmBinary: await unpack("litert_wasm_compat_internal.wasm") };
  // The loader wants a name that ends in .js.
  await litert.loadLiteRt((await urlOf("litert_wasm_compat_internal.js")) + "#.js");
}

class Model {
  static async load(facts) {
    const model = Object.assign(new Model(), facts);
    for (const name of ["mean", "axes", "stds", "coordinates"]) model[name] = await unpack(`${facts.key} ${name}`);
    model.compiled = await litert.loadAndCompile(await unpack(`${facts.key} litert`), { accelerator: "wasm" });
    return model;
  }

  // Takes one image or one vector of latents, and returns arrays by the names of the outputs.
  async run(signature, values, shape) {
    const input = new litert.Tensor(values, [1, ...shape]);
    const outputs = await this.compiled.run(signature, [input]).finally(() => input.delete());
    const { outputDetails } = this.compiled.signatures[signature];
    const arrays = outputs.map((output, i) => [outputDetails[i].name, output.toTypedArray()]);
    for (const output of outputs) output.delete();
    return Object.fromEntries(arrays);
  }

  // Returns the latents, and for variational models their standard deviations, too.
  async encode(image) {
    if (!this.variational) return this.run("encode", image, about.shape);
    const { mean, log_variance } = await this.run("encode_distribution", image, about.shape);
    return { latents: mean, deviations: log_variance.map((value) => Math.exp(value / 2)) };
  }

  decode = async (latents) => (await this.run("decode", latents, [this.units])).images;
  score = async (image) => (await this.run("score", image, about.shape)).scores[0];
}

// Returns a function that starts a job, or has the running one done again with the newest arguments.
let jobs = 0;
function newestWins(job, delay = 0) {
  let [waiting, running] = [null, null];
  const drain = async () => {
    jobs++;
    while (waiting) {
      if (delay) await new Promise((resolve) => setTimeout(resolve, delay));
      const values = waiting;
      waiting = null;
      await job(...values).catch(tellProblem);
    }
    running = null;
    jobs--;
  };
  return (...values) => {
    waiting = values;
    return (running ??= drain());
  };
}
