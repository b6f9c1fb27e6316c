/* Upscales an image tile by tile with LiteRT.js, in a worker thread.
 *
 * The worker receives { job, base: the page's URL, pixels: RGBA bytes, width, height, model: a record of models.json } or
 * { stop: job }. It sends { job, device: text }, then for each tile { job, x, y, width, height, rgba, done } in pixels of
 * the result, or { job, error }. Tiles overlap by the network's receptive field, so that the result has no seams. A new
 * job cancels the previous job.
 */
"use strict";

let current = null; // the newest job
let queue = Promise.resolve(); // jobs run one after another, since they share the runtime and the loaded model
let runtime = null; // the promise of { litert, threads }
let loaded = null; // { file, model, device }

self.onmessage = ({ data }) => {
  if (data.stop !== undefined) {
    if (current === data.stop) current = null;
    return;
  }
  current = data.job;
  queue = queue.then(() => upscale(data)).catch((error) => {
    self.postMessage({ job: data.job, error: String(error?.message ?? error) });
  });
};

async function upscale({ job, base, pixels, width, height, model: record }) {
  if (job !== current) return;
  runtime ??= startRuntime(base).catch((error) => {
    runtime = null;
    throw error;
  });
  const { litert, threads } = await runtime;
  if (job !== current) return;
  const { model, device } = await loadModel(record, base, litert, threads);
  if (job !== current) return;
  self.postMessage({ job, device });
  const { tile, scale, overlap } = record;
  const columns = tileSpans(width, tile, overlap);
  const rows = tileSpans(height, tile, overlap);
  let done = 0;
  for (const row of rows) {
    for (const column of columns) {
      const input = cropTile(pixels, width, height, column.from, row.from, tile);
      const output = await runModel(litert, model, input, tile);
      if (job !== current) return;
      const rgba = cropResult(output, tile, scale, column, row);
      done += 1;
      self.postMessage(
        {
          job,
          x: column.begin * scale,
          y: row.begin * scale,
          width: (column.end - column.begin) * scale,
          height: (row.end - row.begin) * scale,
          rgba,
          done: done / (rows.length * columns.length),
        },
        [rgba.buffer],
      );
      await new Promise((resolve) => setTimeout(resolve)); // handles a { stop } message
      if (job !== current) return;
    }
  }
}

/* Starts the runtime with the most threads that the page and the processor allow, at most eight. */
async function startRuntime(base) {
  const litert = await import(new URL("runtime/core.js", base).href);
  const folder = new URL("runtime/wasm/", base).href;
  const script = `importScripts(${JSON.stringify(`${folder}litert_wasm_threaded_internal.js`)});`;
  const maxThreads = self.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency || 1, 8) : 1;
  for (const threads of maxThreads > 1 ? [maxThreads, 1] : [1]) {
    // By default LiteRT.js loads files from the worker's folder and starts the worker's script as threads. A blob
    // inherits the page's content security policy.
    self.Module = {
      locateFile: (name) => folder + name,
      mainScriptUrlOrBlob: new Blob([script], { type: "text/javascript" }),
    };
    try {
      await litert.loadLiteRt(folder, { threads: threads > 1 });
      return { litert, threads };
    } catch (error) {
      if (threads === 1) throw error; // the threaded runtime needs relaxed SIMD, which some browsers lack
    }
  }
}

/* Loads a model, on the GPU if the browser has one; keeps it for the next job. */
async function loadModel(record, base, litert, threads) {
  if (loaded?.file === record.file) return loaded;
  const response = await fetch(new URL(record.file, base));
  if (!response.ok) throw new Error(`${record.file} cannot be downloaded (${response.status}); load the page again`);
  const bytes = new Uint8Array(await response.arrayBuffer());
  loaded?.model.delete();
  loaded = null;
  if (await hasGpu()) {
    let model = null;
    try {
      model = await litert.loadAndCompile(bytes, { accelerator: "webgpu", gpuOptions: { precision: "fp32" } });
      const probe = await runModel(litert, model, new Float32Array(record.tile ** 2 * 3).fill(128), record.tile);
      if (!model.isFullyAccelerated || !probe.every(Number.isFinite)) throw new Error("the GPU cannot run the model");
      loaded = { file: record.file, model, device: "on the GPU" };
      return loaded;
    } catch {
      model?.delete(); // some drivers fail; the CPU runs the model instead
    }
  }
  const model = await litert.loadAndCompile(bytes, { accelerator: "wasm", cpuOptions: { numThreads: threads } });
  const device = threads > 1 ? `on the CPU, ${threads} threads` : "on the CPU, one thread";
  loaded = { file: record.file, model, device };
  return loaded;
}

async function hasGpu() {
  try {
    const adapter = await navigator.gpu?.requestAdapter();
    return Boolean(adapter) && !(adapter.info ?? adapter).isFallbackAdapter; // the fallback is a slow CPU emulation
  } catch {
    return false;
  }
}

/* Upscales float32 [tile, tile, 3] in 0 … 255; the result is not clipped. */
async function runModel(litert, model, pixels, tile) {
  const input = new litert.Tensor(pixels, [1, tile, tile, 3]);
  try {
    const outputs = await model.run("serving_default", { image: input });
    const output = outputs.super_resolution;
    try {
      return await output.data();
    } finally {
      output.delete();
    }
  } finally {
    input.delete();
  }
}

/* The tiles along one side of the image: the start `from` of each, and the part from `begin` to `end` that it yields. */
function tileSpans(length, tile, overlap) {
  if (length <= tile) return [{ from: 0, begin: 0, end: length }];
  const spans = [];
  for (let begin = 0; begin < length; ) {
    const from = Math.min(Math.max(begin - overlap, 0), length - tile);
    const end = from + tile === length ? length : from + tile - overlap;
    spans.push({ from, begin, end });
    begin = end;
  }
  return spans;
}

/* A tile of the image as float32; an image smaller than the tile is padded by reflection. */
function cropTile(pixels, width, height, left, top, tile) {
  const rgb = new Float32Array(tile * tile * 3);
  for (let y = 0, to = 0; y < tile; y++) {
    const line = reflect(top + y, height) * width;
    for (let x = 0; x < tile; x++, to += 3) {
      const at = 4 * (line + reflect(left + x, width));
      rgb[to] = pixels[at];
      rgb[to + 1] = pixels[at + 1];
      rgb[to + 2] = pixels[at + 2];
    }
  }
  return rgb;
}

function reflect(at, length) {
  if (at < length || length === 1) return Math.min(at, length - 1);
  const phase = at % (2 * length - 2);
  return phase < length ? phase : 2 * length - 2 - phase;
}

/* An upscaled tile without its overlaps as RGBA bytes, rounded and clipped. */
function cropResult(output, tile, scale, column, row) {
  const width = (column.end - column.begin) * scale;
  const height = (row.end - row.begin) * scale;
  const rgba = new Uint8ClampedArray(width * height * 4);
  const stride = tile * scale * 3;
  for (let y = 0, to = 0; y < height; y++) {
    let at = ((row.begin - row.from) * scale + y) * stride + (column.begin - column.from) * scale * 3;
    for (let x = 0; x < width; x++, at += 3, to += 4) {
      rgba[to] = output[at];
      rgba[to + 1] = output[at + 1];
      rgba[to + 2] = output[at + 2];
      rgba[to + 3] = 255;
    }
  }
  return rgba;
}
