/* Enlarges an image tile by tile, off the page's thread, with LiteRT.js.
 *
 * Is told { job, base: the page's address, pixels: RGBA bytes, width, height, model: a record of models.json } or
 * { stop: job }; answers { job, runs: words }, then for every tile { job, x, y, width, height, rgba, done } in pixels of
 * the result, or { job, error }. A tile looks as far beyond what is kept of it as the network does, so that no seam can be
 * seen. Of jobs only the last that was told of is wanted.
 */
"use strict";

let wanted = null;
let chain = Promise.resolve(); // one job after another: they share the runtime, and one network at a time is loaded
let started = null; // the promise of { litert, threads }
let loaded = null; // { file, model, words }

self.onmessage = ({ data }) => {
  if (data.stop !== undefined) {
    if (wanted === data.stop) wanted = null;
    return;
  }
  wanted = data.job;
  chain = chain.then(() => enlarge(data)).catch((error) => {
    self.postMessage({ job: data.job, error: String(error?.message ?? error) });
  });
};

async function enlarge({ job, base, pixels, width, height, model: record }) {
  if (job !== wanted) return;
  started ??= start(base).catch((error) => {
    started = null;
    throw error;
  });
  const { litert, threads } = await started;
  if (job !== wanted) return;
  const { model, words } = await load(record, base, litert, threads);
  if (job !== wanted) return;
  self.postMessage({ job, runs: words });
  const { tile, scale, overlap } = record;
  const columns = spans(width, tile, overlap);
  const rows = spans(height, tile, overlap);
  let done = 0;
  for (const row of rows) {
    for (const column of columns) {
      const made = await run(litert, model, cut(pixels, width, height, column.from, row.from, tile), tile);
      if (job !== wanted) return;
      const piece = kept(made, tile, scale, column, row);
      done += 1;
      self.postMessage(
        {
          job,
          x: column.begin * scale,
          y: row.begin * scale,
          width: (column.end - column.begin) * scale,
          height: (row.end - row.begin) * scale,
          rgba: piece,
          done: done / (rows.length * columns.length),
        },
        [piece.buffer],
      );
      await new Promise((resolve) => setTimeout(resolve)); // lets { stop } in
      if (job !== wanted) return;
    }
  }
}

/* Starts the runtime with as many threads as there may be. */
async function start(base) {
  const litert = await import(new URL("runtime/core.js", base).href);
  const folder = new URL("runtime/wasm/", base).href;
  const script = `importScripts(${JSON.stringify(`${folder}litert_wasm_threaded_internal.js`)});`;
  const most = self.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency || 1, 8) : 1;
  for (const threads of most > 1 ? [most, 1] : [1]) {
    // In a worker it would look for its files beside the worker, and start that again as its threads. A blob has the
    // page's rules on what may be sent where.
    self.Module = {
      locateFile: (name) => folder + name,
      mainScriptUrlOrBlob: new Blob([script], { type: "text/javascript" }),
    };
    try {
      await litert.loadLiteRt(folder, { threads: threads > 1 });
      return { litert, threads };
    } catch (error) {
      if (threads === 1) throw error; // with threads it needs relaxed SIMD, which not every browser has
    }
  }
}

/* The network, where it is another than last time: on the GPU where there is one. */
async function load(record, base, litert, threads) {
  if (loaded?.file === record.file) return loaded;
  const response = await fetch(new URL(record.file, base));
  if (!response.ok) throw new Error(`${record.file} cannot be had (${response.status})`);
  const bytes = new Uint8Array(await response.arrayBuffer());
  loaded?.model.delete();
  loaded = null;
  if (await hasGpu()) {
    let model = null;
    try {
      model = await litert.loadAndCompile(bytes, { accelerator: "webgpu", gpuOptions: { precision: "fp32" } });
      const probe = await run(litert, model, new Float32Array(record.tile ** 2 * 3).fill(128), record.tile);
      if (!model.isFullyAccelerated || !probe.every(Number.isFinite)) throw new Error("no use of the GPU");
      loaded = { file: record.file, model, words: "on the graphics processor" };
      return loaded;
    } catch {
      model?.delete(); // some drivers cannot; the processor can
    }
  }
  const model = await litert.loadAndCompile(bytes, { accelerator: "wasm", cpuOptions: { numThreads: threads } });
  const words = threads > 1 ? `on the processor, ${threads} threads` : "on the processor, one thread";
  loaded = { file: record.file, model, words };
  return loaded;
}

async function hasGpu() {
  try {
    const adapter = await navigator.gpu?.requestAdapter();
    return Boolean(adapter) && !(adapter.info ?? adapter).isFallbackAdapter; // that one is the processor, and slower
  } catch {
    return false;
  }
}

/* Float32 [tile, tile, 3] in 0 … 255 to its enlargement, not clipped. */
async function run(litert, model, given, tile) {
  const input = new litert.Tensor(given, [1, tile, tile, 3]);
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

/* Where tiles begin along one side, and which part of it each of them is kept for. */
function spans(length, tile, overlap) {
  if (length <= tile) return [{ from: 0, begin: 0, end: length }];
  const found = [];
  for (let begin = 0; begin < length; ) {
    const from = Math.min(Math.max(begin - overlap, 0), length - tile);
    const end = from + tile === length ? length : from + tile - overlap;
    found.push({ from, begin, end });
    begin = end;
  }
  return found;
}

/* A tile as float32; beyond the edges of an image smaller than it, the image is mirrored. */
function cut(pixels, width, height, left, top, tile) {
  const given = new Float32Array(tile * tile * 3);
  for (let y = 0, to = 0; y < tile; y++) {
    const line = mirrored(top + y, height) * width;
    for (let x = 0; x < tile; x++, to += 3) {
      const at = 4 * (line + mirrored(left + x, width));
      given[to] = pixels[at];
      given[to + 1] = pixels[at + 1];
      given[to + 2] = pixels[at + 2];
    }
  }
  return given;
}

function mirrored(at, length) {
  if (at < length || length === 1) return Math.min(at, length - 1);
  const back = at % (2 * length - 2);
  return back < length ? back : 2 * length - 2 - back;
}

/* The kept part of an enlarged tile as RGBA bytes, rounded and clipped. */
function kept(made, tile, scale, column, row) {
  const width = (column.end - column.begin) * scale;
  const height = (row.end - row.begin) * scale;
  const piece = new Uint8ClampedArray(width * height * 4);
  const stride = tile * scale * 3;
  for (let y = 0, to = 0; y < height; y++) {
    let at = ((row.begin - row.from) * scale + y) * stride + (column.begin - column.from) * scale * 3;
    for (let x = 0; x < width; x++, at += 3, to += 4) {
      piece[to] = made[at];
      piece[to + 1] = made[at + 1];
      piece[to + 2] = made[at + 2];
      piece[to + 3] = 255;
    }
  }
  return piece;
}
