/* Caches the files that the page has loaded, so that the page works offline.
 *
 * A cache has the files of one version, a hash of all files. A new version gets a new cache, which becomes active once no
 * page of the old version is open, so that a page never mixes scripts of two versions.
 */
"use strict";

const STORE = "esrgan_tf VERSION";
const FIRST = ["./", "style.css", "page.js", "computer.js", "worker.js", "icon.svg", "models.json", "sample.jpg"];

self.addEventListener("install", (event) => {
  const fresh = FIRST.map((file) => new Request(file, { cache: "reload" }));
  event.waitUntil(caches.open(STORE).then((store) => store.addAll(fresh)));
});

self.addEventListener("activate", (event) => {
  event.waitUntil(removeOthers().then(() => self.clients.claim()));
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method === "GET" && new URL(request.url).origin === self.location.origin) {
    event.respondWith(answer(request));
  }
});

async function removeOthers() {
  const names = (await caches.keys()).filter((name) => name.startsWith("esrgan_tf ") && name !== STORE);
  await Promise.all(names.map((name) => caches.delete(name)));
}

async function answer(request) {
  const store = await caches.open(STORE);
  const cached = await store.match(request, { ignoreSearch: true });
  if (cached) return cached;
  const response = await fetch(request);
  if (response.status === 200) store.put(request, response.clone());
  return response;
}
