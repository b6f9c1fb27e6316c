/* Keeps what the page has loaded, so that it works without a network; a newer copy replaces it in the background. */
"use strict";

const STORE = "esrgan_tf";
const FIRST = ["./", "style.css", "page.js", "computer.js", "worker.js", "icon.svg", "models.json", "sample.jpg"];

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(STORE).then((store) => store.addAll(FIRST)).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method !== "GET" || new URL(request.url).origin !== self.location.origin) return;
  event.respondWith(answer(request, event));
});

async function answer(request, event) {
  const store = await caches.open(STORE);
  const known = await store.match(request, { ignoreSearch: true });
  const fresh = fetch(request).then((response) => {
    if (response.status === 200) store.put(request, response.clone());
    return response;
  });
  if (!known) return fresh;
  event.waitUntil(fresh.catch(() => {}));
  return known;
}
