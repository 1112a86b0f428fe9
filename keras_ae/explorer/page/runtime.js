"use strict";
// Data and models: takes what the scripts in data/ hand over, and runs models with LiteRT.js.

const packed = new Map(); // Arrays by name, gzipped, in base64.
const pack = (name, text) => packed.set(name, text);
let about = null; // What build.py tells of dataset and models.
const describe = (description) => (about = description);
let litert = null;

async function unpack(name) {
  const text = packed.get(name);
  if (text === undefined) throw new Error("its file in data/ is missing or damaged");
  packed.delete(name);
  const bytes = fromText(text);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

const unpackFloats = async (name) => new Float32Array((await unpack(name)).buffer);

// Bytes from base64, also of the kind for URLs, and back.
function fromText(text) {
  const binary = atob(text.replace(/[-_]/g, (sign) => (sign === "-" ? "+" : "/")));
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

const toText = (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""))
  .replace(/[+/]/g, (sign) => (sign === "+" ? "-" : "_"));

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
    for (const name of ["latents", "mean", "axes", "stds"]) model[name] = await unpackFloats(`${facts.key} ${name}`);
    model.compiled = await litert.loadAndCompile(await unpack(`${facts.key} litert`), { accelerator: "wasm" });
    return model;
  }

  // Takes one image or one vector of latents, and returns arrays by the names of the outputs.
  async run(signature, values, shape) {
    const input = new litert.Tensor(values, [1, ...shape]);
    let outputs = [];
    try {
      outputs = await this.compiled.run(signature, [input]);
      const names = this.compiled.signatures[signature].outputDetails.map(({ name }) => name);
      return Object.fromEntries(outputs.map((output, i) => [names[i], output.toTypedArray()]));
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

  decode = async (latents) => (await this.run("decode", latents, [this.units])).images;
  score = async (image) => (await this.run("score", image, about.shape)).scores[0];
}

// Returns a function that starts a job, or has the running one done again with the newest arguments.
let jobs = 0;
function newestWins(job, delay = 0) {
  let [waiting, running] = [null, null];
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
    }
    running = null;
    jobs--;
  };
  return (...values) => {
    waiting = values;
    return (running ??= drain());
  };
}
