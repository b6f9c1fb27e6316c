/* The page: loads a photo, upscales it in worker.js or on the serving computer, and shows both images. */

import { upscaleOnServer } from "./computer.js";

const MAX_SIDE = 32767; // pixels of a canvas, the largest limit of any browser
const ANNOUNCE_EVERY = 10_000; // milliseconds, for screen readers
const $ = (id) => document.getElementById(id);

let models = [];
// { name, file, width, height, hasAlpha, source: a canvas, or null if the browser cannot decode the photo,
//   possible: { scale: whether the browser can hold the result }, result }
let photo = null;
let loads = 0; // the number of chosen photos; the photo chosen last is shown, in whatever order photos are decoded
let job = 0; // the number of started and cancelled jobs
let computing = false;
let worker = null;
let cancelOnServer = null; // cancels the job on the serving computer
let began = 0;
let announced = 0;

// 1. A photo

$("file").addEventListener("change", () => {
  const [file] = $("file").files;
  $("file").value = ""; // allows the same file to be chosen again
  if (file) loadPhoto(file);
});
$("sample").addEventListener("click", async () => {
  const bytes = await (await fetch("sample.jpg")).blob();
  await loadPhoto(new File([bytes], "example.jpg", { type: "image/jpeg" }));
});
document.addEventListener("paste", (event) => {
  const file = [...event.clipboardData.files].find((each) => each.type.startsWith("image/"));
  if (file) loadPhoto(file);
});
for (const kind of ["dragenter", "dragover"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    $("drop").classList.add("over");
  });
}
for (const kind of ["dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    $("drop").classList.remove("over");
  });
}
document.addEventListener("drop", (event) => event.dataTransfer.files[0] && loadPhoto(event.dataTransfer.files[0]));

async function loadPhoto(file) {
  loads += 1;
  const load = loads;
  const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" }).catch(() => null);
  if (load !== loads) return bitmap?.close();
  const { width, height } = bitmap ?? {};
  const source = bitmap && canHold(width, height) ? createCanvas(width, height) : null;
  if (!source && !serverModels().length) {
    bitmap?.close();
    const problem = bitmap
      ? `has ${width}×${height} pixels, more than this browser can hold; choose a smaller photo.`
      : "is no image that this browser can open; choose a JPEG, PNG, WebP or AVIF file.";
    return showStatus(`${file.name} ${problem}`);
  }
  cancel();
  photo = { name: file.name, file, width, height, source, hasAlpha: false, possible: {}, result: null };
  if (source) {
    const context = source.getContext("2d", { willReadFrequently: true });
    context.drawImage(bitmap, 0, 0);
    photo.hasAlpha = hasTransparency(context.getImageData(0, 0, width, height).data);
    draw($("preview"), source);
  }
  bitmap?.close();
  if (!source) document.querySelector('input[value="computer"]').checked = true;
  $("preview").hidden = !source;
  $("chosen").hidden = false;
  $("result").hidden = true;
  showStatus("Ready.");
  updateControls();
}

/* Whether the browser can hold a canvas of this size, found by creating the canvas, since limits differ. */
function canHold(width, height) {
  if (Math.max(width, height) > MAX_SIDE) return false;
  const canvas = createCanvas(width, height);
  const context = canvas.getContext("2d");
  if (!context) return false;
  context.fillRect(width - 1, height - 1, 1, 1);
  try {
    return context.getImageData(width - 1, height - 1, 1, 1).data[3] === 255;
  } catch {
    return false;
  } finally {
    canvas.width = canvas.height = 0; // releases the memory in Safari
  }
}

function hasTransparency(rgba) {
  for (let at = 3; at < rgba.length; at += 4) if (rgba[at] !== 255) return true;
  return false;
}

/* The pixels to upscale; transparent pixels get the colours of their neighbours. */
function opaquePixels({ source, width, height, hasAlpha }) {
  if (!hasAlpha) return source.getContext("2d").getImageData(0, 0, width, height).data;
  const filled = createCanvas(width, height);
  const context = filled.getContext("2d");
  context.drawImage(source, 0, 0);
  context.globalCompositeOperation = "destination-over";
  for (let distance = 1; distance < 2 * Math.max(width, height); distance *= 2) {
    for (const [x, y] of [[1, 0], [-1, 0], [0, 1], [0, -1], [1, 1], [-1, -1], [1, -1], [-1, 1]]) {
      context.drawImage(filled, distance * x, distance * y);
    }
  }
  return context.getImageData(0, 0, width, height).data;
}

// 2. A model

for (const radio of document.getElementsByName("kind")) radio.addEventListener("change", updateControls);
$("times").addEventListener("change", updateControls);
$("alpha").addEventListener("input", updateControls);
$("local").addEventListener("change", updateControls);

/* Shows the controls of the selected kind, and enables the start button if the job is possible. */
function updateControls() {
  $("sizes").hidden = selectedKind() !== "photo";
  $("dial").hidden = selectedKind() !== "clean";
  $("choice").hidden = selectedKind() !== "computer";
  if (selectedKind() === "clean") $("alpha").setAttribute("aria-valuetext", selectedModel().label);
  if (photo) $("facts").textContent = describePhoto();
  $("start").disabled = computing || photo === null || !isPossible();
  if (!computing && photo && !isPossible()) showStatus(impossibleMessage());
}

function describePhoto() {
  if (!photo.source) return `${photo.name}: this browser cannot show it; esrgan-tf may be able to upscale it.`;
  const { scale } = selectedModel();
  const result = scale ? `, will be ${photo.width * scale}×${photo.height * scale}` : "";
  return `${photo.name}: ${photo.width}×${photo.height} pixels${result}`;
}

/* Whether the browser can hold the result, if the browser computes it. */
function isPossible() {
  if (selectedKind() === "computer") return true;
  if (!photo.source) return false;
  const { scale } = selectedModel();
  photo.possible[scale] ??= canHold(photo.width * scale, photo.height * scale);
  return photo.possible[scale];
}

function impossibleMessage() {
  if (!photo.source) return "This browser cannot open the photo; choose another photo.";
  const { scale } = selectedModel();
  const remedy = selectedKind() === "photo" && scale > 2 ? "Select ×2, or choose" : "Choose";
  return (
    `${photo.name} has ${photo.width}×${photo.height} pixels. Its result would have ` +
    `${photo.width * scale}×${photo.height * scale}, which is more than this browser can hold. ${remedy} a smaller ` +
    "photo, or use the command esrgan-tf upscale, which has no limit."
  );
}

/* The models of the computer that serves the page; none unless esrgan-tf web serves it. */
function serverModels() {
  return models.filter((each) => each.kind === "computer");
}

function offerServerModels() {
  const groups = new Map();
  for (const { label, group } of serverModels()) {
    if (!groups.has(group)) {
      groups.set(group, document.createElement("optgroup"));
      groups.get(group).label = group;
      $("local").append(groups.get(group));
    }
    groups.get(group).append(new Option(label, label));
  }
  $("computer").hidden = false;
  $("where").textContent =
    "This browser upscales the photo, or, if you select it, esrgan-tf on the computer that serves this page.";
  if (serverModels().length < models.length) return;
  for (const radio of document.getElementsByName("kind")) radio.parentElement.hidden = radio.value !== "computer";
  document.querySelector('input[value="computer"]').checked = true;
}

function selectedKind() {
  return document.querySelector('input[name="kind"]:checked').value;
}

function selectedModel() {
  if (selectedKind() === "computer") return serverModels().find((each) => each.label === $("local").value);
  const offered = models.filter((each) => each.kind === selectedKind());
  if (selectedKind() === "photo") return offered.find((each) => each.scale === Number($("times").value));
  return offered.find((each) => each.alpha === Number($("alpha").value));
}

// 3. The result

$("start").addEventListener("click", start);
$("stop").addEventListener("click", () => {
  cancel();
  $("start").focus();
  showStatus("Stopped.");
});
addEventListener("pagehide", cancel);

function start() {
  cancel();
  job += 1;
  computing = true;
  began = performance.now();
  photo.result = null;
  $("result").hidden = true;
  $("save").disabled = true;
  $("stop").hidden = $("bar").hidden = false;
  $("stop").focus();
  $("bar").removeAttribute("value");
  updateControls();
  if (selectedKind() === "computer") startOnServer();
  else startInBrowser();
}

function startInBrowser() {
  worker ??= createWorker();
  const { width, height } = photo;
  const { scale } = selectedModel();
  $("after").width = width * scale;
  $("after").height = height * scale;
  draw($("before"), photo.source);
  $("view").hidden = false;
  $("result").hidden = false;
  showStatus("Loading the model …");
  updateComparison();
  const pixels = opaquePixels(photo);
  const message = { job, base: document.baseURI, pixels, width, height, model: selectedModel() };
  worker.postMessage(message, [pixels.buffer]);
}

/* A worker from a blob, which inherits the page's content security policy; a worker from a URL does not inherit it. */
function createWorker() {
  const script = `importScripts(${JSON.stringify(new URL("worker.js", document.baseURI).href)});`;
  const created = new Worker(URL.createObjectURL(new Blob([script], { type: "text/javascript" })));
  let first = 0; // the start of the first tile, after the runtime and the model are loaded
  let device = "";
  created.onmessage = ({ data }) => {
    if (data.job !== job || !computing) return;
    if (data.error) return fail(data.error);
    if (data.device) {
      device = data.device;
      first = performance.now();
      return showStatus(`Upscaling ${device} …`);
    }
    $("after").getContext("2d").putImageData(new ImageData(data.rgba, data.width, data.height), data.x, data.y);
    if (data.done < 1) {
      return showProgress(data.done, ((performance.now() - first) * (1 / data.done - 1)) / 1000, device);
    }
    restoreAlpha();
    finish(`${device}; nothing was sent anywhere`);
  };
  created.onerror = (event) => fail(event.message || "the worker could not be started; load the page again");
  return created;
}

function restoreAlpha() {
  if (!photo.hasAlpha) return;
  const context = $("after").getContext("2d");
  context.globalCompositeOperation = "destination-in";
  context.imageSmoothingQuality = "high";
  context.drawImage(photo.source, 0, 0, $("after").width, $("after").height);
  context.globalCompositeOperation = "source-over";
}

function startOnServer() {
  const started = job;
  const { label } = selectedModel();
  showStatus("Sending the photo to the computer that serves this page …");
  cancelOnServer = upscaleOnServer(photo.file, label, {
    report({ state, done, left, ahead }) {
      if (started !== job) return;
      if (state === "waiting") {
        return showStatus(ahead === 1 ? "Waiting for one other photo." : `Waiting for ${ahead} other photos.`);
      }
      if (done === 0) return showStatus(`Loading ${label} …`);
      showProgress(done, left, "on the computer that serves this page");
    },
    async finish(result) {
      const bitmap = photo.source ? await createImageBitmap(result).catch(() => null) : null;
      if (started !== job) return bitmap?.close();
      cancelOnServer = null;
      photo.result = result;
      showResult(bitmap);
      finish(`by ${label}`);
    },
    fail(reason) {
      if (started !== job) return;
      cancelOnServer = null;
      fail(reason);
    },
  });
}

/* Shows both images if the browser can hold them; the result can be downloaded in any case. */
function showResult(bitmap) {
  $("result").hidden = false;
  $("view").hidden = true;
  if (bitmap && canHold(bitmap.width, bitmap.height)) {
    draw($("after"), bitmap);
    draw($("before"), photo.source);
    $("view").hidden = false;
    updateComparison();
  }
  bitmap?.close();
}

function showProgress(done, left, device) {
  const text = `${Math.round(100 * done)} %, ${formatDuration(left)} left`;
  $("bar").value = done;
  $("bar").setAttribute("aria-valuetext", text);
  showStatus(`Upscaling ${device}: ${text}`, performance.now() - announced > ANNOUNCE_EVERY);
}

function finish(details) {
  const focused = document.activeElement === $("stop");
  endJob();
  $("save").disabled = false;
  if (focused) $("save").focus();
  showStatus(`Done in ${formatDuration((performance.now() - began) / 1000)}, ${details}.`);
}

function fail(reason) {
  worker?.terminate();
  worker = null;
  endJob();
  $("result").hidden = true;
  showStatus(`The photo could not be upscaled: ${reason.replace(/\.$/, "")}.`);
}

/* Cancels the running job, if any. */
function cancel() {
  if (!computing) return;
  cancelOnServer?.();
  cancelOnServer = null;
  worker?.postMessage({ stop: job });
  job += 1;
  endJob();
  $("result").hidden = true;
}

function endJob() {
  computing = false;
  $("stop").hidden = $("bar").hidden = true;
  updateControls();
}

$("save").addEventListener("click", async () => {
  const { name, width, result } = photo;
  const png = result ?? (await new Promise((done) => $("after").toBlob(done, "image/png")));
  if (!png) return showStatus("This browser cannot write an image of this size; choose a smaller photo.");
  const suffix = width && !$("view").hidden ? `x${$("after").width / width}` : "upscaled";
  const link = document.createElement("a");
  link.href = URL.createObjectURL(png);
  link.download = `${name.replace(/\.[^.]*$/, "")}_${suffix}.png`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
});

// Before and after

$("cut").addEventListener("input", updateComparison);
$("zoom").addEventListener("change", updateComparison);
$("line").addEventListener("pointerdown", (event) => $("line").setPointerCapture(event.pointerId));
$("line").addEventListener("pointermove", (event) => {
  if (!$("line").hasPointerCapture(event.pointerId)) return;
  const { left, width } = $("stage").getBoundingClientRect();
  $("cut").value = (100 * (event.clientX - left)) / width;
  updateComparison();
});

function updateComparison() {
  const part = Number($("cut").value);
  $("before").style.clipPath = `inset(0 ${100 - part}% 0 0)`;
  $("line").style.left = `${part}%`;
  const zoom = $("zoom").value;
  $("stage").style.width = zoom === "fit" ? "100%" : `${$("after").width * Number(zoom)}px`;
  $("after").style.imageRendering = zoom === "2" ? "pixelated" : "auto";
}

function draw(canvas, source) {
  canvas.width = source.width;
  canvas.height = source.height;
  canvas.getContext("2d").drawImage(source, 0, 0);
}

function createCanvas(width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  return canvas;
}

function formatDuration(seconds) {
  if (!Number.isFinite(seconds)) return "unknown time";
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  return `${Math.round(seconds / 60)} min`;
}

/* Shows a text, and announces it to screen readers if `announce` is true. */
function showStatus(text, announce = true) {
  $("status").textContent = text;
  if (!announce) return;
  $("spoken").textContent = text;
  announced = performance.now();
}

try {
  models = await (await fetch("models.json")).json();
  if (serverModels().length) offerServerModels();
  // The address of esrgan-tf web changes at each start, so its files are not cached.
  else navigator.serviceWorker?.register("offline.js").catch(() => {}); // the page works without the cache
  updateControls();
  document.documentElement.dataset.ready = "true";
} catch (error) {
  showStatus(`Some of this page's files cannot be loaded (${error.message}); load the page again.`);
}
