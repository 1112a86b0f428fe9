"use strict";
// Data and models: takes what the scripts in data/ hand over, and runs models with LiteRT.js.

const packed = new Map(); // Arrays by name, gzipped, in base64.
let about = null; // What build.py tells of dataset and models.
let litert = null;

function pack(name, text) {
  packed.set(name, text);
}

function describe(description) {
  about = description;
}

async function unpack(name) {
  const text = packed.get(name);
  if (text === undefined) throw new Error(`its file in data/ is missing or damaged`);
  packed.delete(name);
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function unpackFloats(name) {
  return new Float32Array((await unpack(name)).buffer);
}

// A page from disk can neither fetch nor import files, so that all of the runtime comes by blobs.
async function startRuntime() {
  const urlOf = async (name) =>
    URL.createObjectURL(new Blob([await unpack(name)], { type: "text/javascript" }));
  const map = document.createElement("script");
  map.type = "importmap";
  map.textContent = JSON.stringify({ imports: { "@litertjs/wasm-utils": await urlOf("wasm-utils.js") } });
  document.head.append(map);
  litert = await import(await urlOf("core.js"));
  self.Module = { wasmBinary: await unpack("litert_wasm_compat_internal.wasm") };
  // The loader wants a name that ends in .js.
  await litert.loadLiteRt((await urlOf("litert_wasm_compat_internal.js")) + "#.js");
}

class Model {
  static async load(facts) {
    const model = Object.assign(new Model(), facts);
    const names = ["latents", "mean", "axes", "stds"];
    const arrays = await Promise.all(names.map((name) => unpackFloats(`${facts.key} ${name}`)));
    names.forEach((name, i) => (model[name] = arrays[i]));
    const bytes = await unpack(`${facts.key} litert`);
    model.compiled = await litert.loadAndCompile(bytes, { accelerator: "wasm" });
    return model;
  }

  // Takes one image or one vector of latents, and returns arrays by the names of the outputs.
  async run(signature, values, shape) {
    const input = new litert.Tensor(values, [1, ...shape]);
    let outputs = [];
    try {
      outputs = await this.compiled.run(signature, [input]);
      const { outputDetails } = this.compiled.signatures[signature];
      return Object.fromEntries(outputs.map((output, i) => [outputDetails[i].name, output.toTypedArray()]));
    } finally {
      for (const tensor of [input, ...outputs]) tensor.delete();
    }
  }

  // Returns the latents, and for variational models their standard deviations, too.
  async encode(image) {
    if (!this.variational) return { latents: (await this.run("encode", image, about.shape)).latents };
    const { mean, log_variance } = await this.run("encode_distribution", image, about.shape);
    return { latents: mean, deviations: log_variance.map((value) => Math.exp(value / 2)) };
  }

  async decode(latents) {
    return (await this.run("decode", latents, [this.units])).images;
  }

  async score(image) {
    return (await this.run("score", image, about.shape)).scores[0];
  }
}

// Returns a function that starts a job, or has it run once more with the newest arguments.
let jobs = 0;
function newestWins(job, delay = 0) {
  let waiting = null;
  let running = null;
  const drain = async () => {
    jobs++;
    try {
      while (waiting !== null) {
        if (delay) await new Promise((resolve) => setTimeout(resolve, delay));
        const values = waiting;
        waiting = null;
        await job(...values);
      }
    } catch (error) {
      tellProblem(error.message ?? error);
    } finally {
      jobs--;
      running = null;
    }
  };
  return (...values) => {
    waiting = values;
    return (running ??= drain());
  };
}

function tellProblem(text) {
  const line = document.createElement("li");
  line.textContent = text;
  document.getElementById("problems").append(line);
}
