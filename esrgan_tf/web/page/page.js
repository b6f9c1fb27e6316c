/* The page: takes a photo, has worker.js or the computer behind the page enlarge it, shows both. */

import { enlargeThere } from "./computer.js";

const MOST_SIDE = 32767; // of a canvas, in the browsers that allow most
const $ = (id) => document.getElementById(id);
const models = await (await fetch("models.json")).json();

const computer = models.filter((each) => each.kind === "computer"); // its models, where esrgan-tf web serves the page

let photo = null; // { name, file, width, height, hasAlpha, source: a canvas, or null where there can be none, result }
let worker = null;
let giveUp = null; // what stops the computer behind the page, while it computes
let job = 0;
let began = 0;

// 1. A photo

$("file").addEventListener("change", () => $("file").files[0] && take($("file").files[0]));
$("sample").addEventListener("click", async () => {
  const bytes = await (await fetch("sample.jpg")).blob();
  await take(new File([bytes], "example.jpg", { type: "image/jpeg" }));
});
document.addEventListener("paste", (event) => {
  const file = [...event.clipboardData.files].find((each) => each.type.startsWith("image/"));
  if (file) take(file);
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
document.addEventListener("drop", (event) => event.dataTransfer.files[0] && take(event.dataTransfer.files[0]));

async function take(file) {
  halt();
  photo = null;
  $("chosen").hidden = $("result").hidden = true;
  $("start").disabled = true;
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image" }); // as the camera was held
  } catch {
    return unseen(file, `${file.name} is no image that this browser can open; JPEG, PNG, WebP and AVIF usually are.`);
  }
  const { width, height } = bitmap;
  const { scale } = models.find((each) => each.scale) ?? { scale: 4 };
  if (!fits(width * scale, height * scale)) {
    bitmap.close();
    return unseen(
      file,
      `${file.name} has ${width}×${height} pixels. Its result would have ${width * scale}×${height * scale}, which is ` +
        "more than this browser can hold. Choose a smaller photo or a part of it; the command esrgan-tf upscale has no " +
        "such limit.",
    );
  }
  const source = canvasOf(width, height);
  const context = source.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const hasAlpha = someTransparent(context.getImageData(0, 0, width, height).data);
  photo = { name: file.name, file, width, height, hasAlpha, source };
  show($("preview"), source);
  $("preview").hidden = false;
  $("facts").textContent = `${file.name}: ${width}×${height} pixels, will be ${width * scale}×${height * scale}`;
  $("chosen").hidden = false;
  $("start").disabled = false;
  say("Ready.");
}

/* A file that this browser cannot show or hold: the computer behind the page may, if there is one. */
function unseen(file, words) {
  if (!computer.length) return say(words);
  photo = { name: file.name, file, source: null };
  $("preview").hidden = true;
  $("facts").textContent = `${file.name}: ${words.replace(/;.*/, ".")} This computer may be able to.`;
  $("chosen").hidden = false;
  document.querySelector('input[value="computer"]').checked = true;
  choose();
  say("Ready.");
}

/* Whether a canvas of that size can be had: browsers and devices differ, and only trying tells. */
function fits(width, height) {
  if (Math.max(width, height) > MOST_SIDE) return false;
  const canvas = canvasOf(width, height);
  const context = canvas.getContext("2d");
  if (!context) return false;
  context.fillRect(width - 1, height - 1, 1, 1);
  try {
    return context.getImageData(width - 1, height - 1, 1, 1).data[3] === 255;
  } catch {
    return false;
  } finally {
    canvas.width = canvas.height = 0; // Safari keeps the memory else
  }
}

function someTransparent(rgba) {
  for (let at = 3; at < rgba.length; at += 4) if (rgba[at] !== 255) return true;
  return false;
}

/* The pixels to enlarge. Transparent ones have no colour of their own: they take that of their neighbours. */
function colours({ source, width, height, hasAlpha }) {
  if (!hasAlpha) return source.getContext("2d").getImageData(0, 0, width, height).data;
  const filled = canvasOf(width, height);
  const context = filled.getContext("2d");
  context.drawImage(source, 0, 0);
  context.globalCompositeOperation = "destination-over";
  for (let far = 1; far < 2 * Math.max(width, height); far *= 2) {
    for (const [x, y] of [[1, 0], [-1, 0], [0, 1], [0, -1], [1, 1], [-1, -1], [1, -1], [-1, 1]]) {
      context.drawImage(filled, far * x, far * y);
    }
  }
  return context.getImageData(0, 0, width, height).data;
}

// 2. A network

for (const radio of document.getElementsByName("kind")) radio.addEventListener("change", choose);
$("alpha").addEventListener("input", choose);

function choose() {
  $("dial").hidden = kind() !== "clean";
  $("choice").hidden = kind() !== "computer";
  if (kind() === "clean") $("alpha").setAttribute("aria-valuetext", model().label);
  $("start").disabled = photo === null || !$("stop").hidden || (photo.source === null && kind() !== "computer");
}

function offerComputer() {
  const groups = new Map();
  for (const { label, group } of computer) {
    if (!groups.has(group)) {
      groups.set(group, document.createElement("optgroup"));
      groups.get(group).label = group;
      $("local").append(groups.get(group));
    }
    groups.get(group).append(new Option(label, label));
  }
  $("computer").hidden = false;
  $("where").textContent =
    "It is computed in this browser, or, if you choose that, by esrgan-tf on the computer that serves this page.";
  if (computer.length < models.length) return;
  for (const radio of document.getElementsByName("kind")) radio.parentElement.hidden = radio.value !== "computer";
  document.querySelector('input[value="computer"]').checked = true;
}

function kind() {
  return document.querySelector('input[name="kind"]:checked').value;
}

function model() {
  if (kind() === "computer") return computer.find((each) => each.label === $("local").value);
  return models.find((each) => each.kind === kind() && (each.kind === "photo" || each.alpha === Number($("alpha").value)));
}

// 3. The result

$("start").addEventListener("click", start);
$("stop").addEventListener("click", () => {
  halt();
  say("Stopped.");
});

function start() {
  halt();
  job += 1;
  began = performance.now();
  photo.result = null;
  $("result").hidden = true;
  $("save").disabled = true;
  $("stop").hidden = $("bar").hidden = false;
  $("start").disabled = true;
  $("bar").removeAttribute("value");
  if (kind() === "computer") return startThere();
  worker ??= newWorker();
  const { width, height } = photo;
  const { scale } = model();
  const after = $("after");
  after.width = width * scale;
  after.height = height * scale;
  show($("before"), photo.source);
  $("view").hidden = false;
  $("result").hidden = false;
  say("Loading the network …");
  arrange();
  const pixels = colours(photo);
  worker.postMessage({ job, pixels, width, height, model: model() }, [pixels.buffer]);
}

function startThere() {
  const { label } = model();
  say("Sending the photo to this computer …");
  giveUp = enlargeThere(photo.file, label, {
    tell({ state, done, left, ahead }) {
      if (state === "waiting") return say(ahead === 1 ? "One photo is before it." : `${ahead} photos are before it.`);
      if (done === 0) return say(`Loading ${label} …`);
      progress(done, left, "on this computer");
    },
    async finish(result) {
      giveUp = null;
      photo.result = result;
      await showResult(result);
      finish(`by ${label}`);
    },
    fail(reason) {
      giveUp = null;
      fail(reason);
    },
  });
}

/* Both images, where this browser can hold them; the result can be downloaded all the same. */
async function showResult(result) {
  $("result").hidden = false;
  $("view").hidden = true;
  if (!photo.source) return;
  const bitmap = await createImageBitmap(result).catch(() => null);
  if (!bitmap || !fits(bitmap.width, bitmap.height)) return;
  show($("after"), bitmap);
  bitmap.close();
  show($("before"), photo.source);
  $("view").hidden = false;
  arrange();
}

function progress(done, left, words) {
  $("bar").value = done;
  $("bar").setAttribute("aria-valuetext", `${Math.round(100 * done)} %, ${inWords(left)} left`);
  say(`Enlarging ${words}: ${Math.round(100 * done)} %, ${inWords(left)} left`);
}

function newWorker() {
  const fresh = new Worker("worker.js");
  let first = 0; // when the first tile came: before it, the runtime was loaded
  let runs = "";
  fresh.onmessage = ({ data }) => {
    if (data.job !== job) return;
    if (data.error) return fail(data.error);
    if (data.runs) {
      runs = data.runs;
      first = performance.now();
      return say(`Enlarging ${runs} …`);
    }
    $("after").getContext("2d").putImageData(new ImageData(data.rgba, data.width, data.height), data.x, data.y);
    if (data.done < 1) return progress(data.done, ((performance.now() - first) * (1 / data.done - 1)) / 1000, runs);
    restoreAlpha();
    finish(`${runs}; nothing was sent anywhere`);
  };
  fresh.onerror = (event) => fail(event.message || "the part that computes could not be started");
  return fresh;
}

function restoreAlpha() {
  if (!photo.hasAlpha) return;
  const context = $("after").getContext("2d");
  context.globalCompositeOperation = "destination-in";
  context.imageSmoothingQuality = "high";
  context.drawImage(photo.source, 0, 0, $("after").width, $("after").height);
  context.globalCompositeOperation = "source-over";
}

function finish(how) {
  idle();
  $("save").disabled = false;
  say(`Done in ${inWords((performance.now() - began) / 1000)}, ${how}.`);
}

function fail(reason) {
  worker?.terminate();
  worker = null;
  idle();
  $("result").hidden = true;
  say(`It could not be enlarged: ${reason.replace(/\.$/, "")}.`);
}

function halt() {
  if ($("stop").hidden) return;
  giveUp?.();
  giveUp = null;
  worker?.postMessage({ stop: job });
  job += 1;
  idle();
  $("result").hidden = true;
}

function idle() {
  $("stop").hidden = $("bar").hidden = true;
  choose();
}

$("save").addEventListener("click", async () => {
  const png = photo.result ?? (await new Promise((done) => $("after").toBlob(done, "image/png")));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(png);
  const times = photo.width && !$("view").hidden ? `x${$("after").width / photo.width}` : "enlarged";
  link.download = `${photo.name.replace(/\.[^.]*$/, "")}_${times}.png`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
});

// Before and after

$("cut").addEventListener("input", arrange);
$("zoom").addEventListener("change", arrange);
$("line").addEventListener("pointerdown", (event) => $("line").setPointerCapture(event.pointerId));
$("line").addEventListener("pointermove", (event) => {
  if (!$("line").hasPointerCapture(event.pointerId)) return;
  const { left, width } = $("stage").getBoundingClientRect();
  $("cut").value = (100 * (event.clientX - left)) / width;
  arrange();
});

function arrange() {
  const part = Number($("cut").value);
  $("before").style.clipPath = `inset(0 ${100 - part}% 0 0)`;
  $("line").style.left = `${part}%`;
  const zoom = $("zoom").value;
  $("stage").style.width = zoom === "fit" ? "100%" : `${$("after").width * Number(zoom)}px`;
  $("after").style.imageRendering = zoom === "2" ? "pixelated" : "auto";
}

function show(canvas, source) {
  canvas.width = source.width;
  canvas.height = source.height;
  canvas.getContext("2d").drawImage(source, 0, 0);
}

function canvasOf(width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  return canvas;
}

function inWords(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  return `${Math.round(seconds / 60)} min`;
}

function say(words) {
  $("status").textContent = words;
}

// Behind esrgan-tf web, every start has another address, and nothing is to be kept of the last.
if ("serviceWorker" in navigator && !computer.length) navigator.serviceWorker.register("offline.js").catch(() => {}); // it works without
if (computer.length) offerComputer();
choose();
document.documentElement.dataset.ready = "true";
