/* The page: takes a photo, has worker.js or the computer behind the page enlarge it, shows both. */

import { enlargeThere } from "./computer.js";

const MOST_SIDE = 32767; // of a canvas, in the browsers that allow most
const SPEAK_EVERY = 10_000; // milliseconds, to those who hear the page
const $ = (id) => document.getElementById(id);

let models = [];
// { name, file, width, height, hasAlpha, source: a canvas, or null where there can be none, possible: by scale, result }
let photo = null;
let taking = 0; // counts the photos that were chosen: of several, the last counts, whichever opens first
let job = 0; // counts what was begun and what was given up
let computing = false;
let worker = null;
let giveUp = null; // what stops the computer behind the page, while it computes
let began = 0;
let spoke = 0;

// 1. A photo

$("file").addEventListener("change", () => {
  const [file] = $("file").files;
  $("file").value = ""; // so that the same one can be chosen again
  if (file) take(file);
});
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
  taking += 1;
  const mine = taking;
  const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" }).catch(() => null); // as it was held
  if (mine !== taking) return bitmap?.close();
  const { width, height } = bitmap ?? {};
  const source = bitmap && fits(width, height) ? canvasOf(width, height) : null;
  if (!source && !computers().length) {
    bitmap?.close();
    const why = bitmap
      ? `has ${width}×${height} pixels, more than this browser can hold.`
      : "is no image that this browser can open; JPEG, PNG, WebP and AVIF usually are.";
    return say(`${file.name} ${why}`);
  }
  halt();
  photo = { name: file.name, file, width, height, source, hasAlpha: false, possible: {}, result: null };
  if (source) {
    const context = source.getContext("2d", { willReadFrequently: true });
    context.drawImage(bitmap, 0, 0);
    photo.hasAlpha = someTransparent(context.getImageData(0, 0, width, height).data);
    show($("preview"), source);
  }
  bitmap?.close();
  if (!source) document.querySelector('input[value="computer"]').checked = true;
  $("preview").hidden = !source;
  $("chosen").hidden = false;
  $("result").hidden = true;
  say("Ready.");
  choose();
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
$("times").addEventListener("change", choose);
$("alpha").addEventListener("input", choose);
$("local").addEventListener("change", choose);

/* Shows what belongs to the choice, and whether it can be begun. */
function choose() {
  $("sizes").hidden = kind() !== "photo";
  $("dial").hidden = kind() !== "clean";
  $("choice").hidden = kind() !== "computer";
  if (kind() === "clean") $("alpha").setAttribute("aria-valuetext", model().label);
  if (photo) $("facts").textContent = facts();
  $("start").disabled = computing || photo === null || !possible();
  if (!computing && photo && !possible()) say(tooLarge());
}

function facts() {
  if (!photo.source) return `${photo.name}: this browser cannot show it; this computer may be able to enlarge it.`;
  const { scale } = model();
  const result = scale ? `, will be ${photo.width * scale}×${photo.height * scale}` : "";
  return `${photo.name}: ${photo.width}×${photo.height} pixels${result}`;
}

/* What the browser computes, it must hold. */
function possible() {
  if (kind() === "computer") return true;
  if (!photo.source) return false;
  const { scale } = model();
  photo.possible[scale] ??= fits(photo.width * scale, photo.height * scale);
  return photo.possible[scale];
}

function tooLarge() {
  if (!photo.source) return "This browser cannot open it.";
  const { scale } = model();
  const less = kind() === "photo" && scale > 2 ? "Make it twice as large, or choose" : "Choose";
  return (
    `${photo.name} has ${photo.width}×${photo.height} pixels. Its result would have ` +
    `${photo.width * scale}×${photo.height * scale}, which is more than this browser can hold. ${less} a smaller ` +
    "photo or a part of it; the command esrgan-tf upscale has no such limit."
  );
}

function computers() {
  return models.filter((each) => each.kind === "computer"); // where esrgan-tf web serves the page
}

function offerComputer() {
  const groups = new Map();
  for (const { label, group } of computers()) {
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
  if (computers().length < models.length) return;
  for (const radio of document.getElementsByName("kind")) radio.parentElement.hidden = radio.value !== "computer";
  document.querySelector('input[value="computer"]').checked = true;
}

function kind() {
  return document.querySelector('input[name="kind"]:checked').value;
}

function model() {
  if (kind() === "computer") return computers().find((each) => each.label === $("local").value);
  const offered = models.filter((each) => each.kind === kind());
  if (kind() === "photo") return offered.find((each) => each.scale === Number($("times").value));
  return offered.find((each) => each.alpha === Number($("alpha").value));
}

// 3. The result

$("start").addEventListener("click", start);
$("stop").addEventListener("click", () => {
  halt();
  $("start").focus();
  say("Stopped.");
});
addEventListener("pagehide", halt);

function start() {
  halt();
  job += 1;
  computing = true;
  began = performance.now();
  photo.result = null;
  $("result").hidden = true;
  $("save").disabled = true;
  $("stop").hidden = $("bar").hidden = false;
  $("stop").focus();
  $("bar").removeAttribute("value");
  choose();
  if (kind() === "computer") startThere();
  else startHere();
}

function startHere() {
  worker ??= newWorker();
  const { width, height } = photo;
  const { scale } = model();
  $("after").width = width * scale;
  $("after").height = height * scale;
  show($("before"), photo.source);
  $("view").hidden = false;
  $("result").hidden = false;
  say("Loading the network …");
  arrange();
  const pixels = colours(photo);
  worker.postMessage({ job, base: document.baseURI, pixels, width, height, model: model() }, [pixels.buffer]);
}

/* From a blob, which has this page's rules on what may be sent where; a worker by its own address has none. */
function newWorker() {
  const script = `importScripts(${JSON.stringify(new URL("worker.js", document.baseURI).href)});`;
  const fresh = new Worker(URL.createObjectURL(new Blob([script], { type: "text/javascript" })));
  let first = 0; // when computing began: before it, the runtime was loaded
  let runs = "";
  fresh.onmessage = ({ data }) => {
    if (data.job !== job || !computing) return;
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

function startThere() {
  const mine = job;
  const { label } = model();
  say("Sending the photo to this computer …");
  giveUp = enlargeThere(photo.file, label, {
    tell({ state, done, left, ahead }) {
      if (mine !== job) return;
      if (state === "waiting") return say(ahead === 1 ? "One photo is before it." : `${ahead} photos are before it.`);
      if (done === 0) return say(`Loading ${label} …`);
      progress(done, left, "on this computer");
    },
    async finish(result) {
      const bitmap = photo.source ? await createImageBitmap(result).catch(() => null) : null;
      if (mine !== job) return bitmap?.close();
      giveUp = null;
      photo.result = result;
      showResult(bitmap);
      finish(`by ${label}`);
    },
    fail(reason) {
      if (mine !== job) return;
      giveUp = null;
      fail(reason);
    },
  });
}

/* Both images, where this browser can hold them; the result can be downloaded all the same. */
function showResult(bitmap) {
  $("result").hidden = false;
  $("view").hidden = true;
  if (bitmap && fits(bitmap.width, bitmap.height)) {
    show($("after"), bitmap);
    show($("before"), photo.source);
    $("view").hidden = false;
    arrange();
  }
  bitmap?.close();
}

function progress(done, left, words) {
  $("bar").value = done;
  $("bar").setAttribute("aria-valuetext", `${Math.round(100 * done)} %, ${inWords(left)} left`);
  say(`Enlarging ${words}: ${Math.round(100 * done)} %, ${inWords(left)} left`, performance.now() - spoke > SPEAK_EVERY);
}

function finish(how) {
  const focused = document.activeElement === $("stop");
  idle();
  $("save").disabled = false;
  if (focused) $("save").focus();
  say(`Done in ${inWords((performance.now() - began) / 1000)}, ${how}.`);
}

function fail(reason) {
  worker?.terminate();
  worker = null;
  idle();
  $("result").hidden = true;
  say(`It could not be enlarged: ${reason.replace(/\.$/, "")}.`);
}

/* Gives up what is being computed, if anything is. */
function halt() {
  if (!computing) return;
  giveUp?.();
  giveUp = null;
  worker?.postMessage({ stop: job });
  job += 1;
  idle();
  $("result").hidden = true;
}

function idle() {
  computing = false;
  $("stop").hidden = $("bar").hidden = true;
  choose();
}

$("save").addEventListener("click", async () => {
  const { name, width, result } = photo;
  const png = result ?? (await new Promise((done) => $("after").toBlob(done, "image/png")));
  if (!png) return say("This browser cannot write an image of that size; a smaller photo may do.");
  const times = width && !$("view").hidden ? `x${$("after").width / width}` : "enlarged";
  const link = document.createElement("a");
  link.href = URL.createObjectURL(png);
  link.download = `${name.replace(/\.[^.]*$/, "")}_${times}.png`;
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
  if (!Number.isFinite(seconds)) return "some time";
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  return `${Math.round(seconds / 60)} min`;
}

/* On the page, and, unless it is said too often, to those who hear it. */
function say(words, aloud = true) {
  $("status").textContent = words;
  if (!aloud) return;
  $("spoken").textContent = words;
  spoke = performance.now();
}

try {
  models = await (await fetch("models.json")).json();
  if (computers().length) offerComputer();
  // Behind esrgan-tf web, every start has another address, and nothing is to be kept of the last.
  else navigator.serviceWorker?.register("offline.js").catch(() => {}); // it works without
  choose();
  document.documentElement.dataset.ready = "true";
} catch (error) {
  say(`This page is not whole: ${error.message}. Load it again.`);
}
