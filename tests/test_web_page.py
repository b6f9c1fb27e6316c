"""The upscaling page in a real browser: Debian's Chromium, used like a visitor uses it."""

import functools
import io
import shutil
import threading
import time
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import skimage.data
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import expect, sync_playwright

from esrgan_tf import load_model, upscale
from esrgan_tf.errors import UserError
from esrgan_tf.web import browser_page
from tests.conftest import REPOSITORY

PACKAGES = REPOSITORY / "web" / "node_modules"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium; on Debian: apt-get install chromium"),
    pytest.mark.skipif(not PACKAGES.is_dir(), reason="there is no LiteRT.js; npm ci --prefix web brings it"),
]
ISOLATED = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}
SECONDS = 120_000  # Playwright's unit, for computations


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The page with small tiles and two networks, which compute fast."""
    path = tmp_path_factory.mktemp("site") / "try"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(browser_page, "TILE", 64)
        patch.setattr(browser_page, "BLENDED", {0.0: "faithful"})
        browser_page.build_site(path, PACKAGES)
    return path


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def served(folder, headers, slow=None):
    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self):
            if slow and slow in self.path:
                time.sleep(0.5)
            super().do_GET()

        def end_headers(self):
            for name, value in headers.items():
                self.send_header(name, value)
            super().end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@contextmanager
def visited(browser, folder, headers=ISOLATED, slow=None, **settings):
    """The page in a separate window; no request may go to another machine, and no script may fail."""
    with served(folder, headers, slow) as address:
        context = browser.new_context(accept_downloads=True, **settings)
        page, asked, errors = context.new_page(), [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(address)
        page.wait_for_selector("html[data-ready]")
        yield page
        assert errors == []
        assert all(url.startswith((address, f"blob:{address}")) for url in asked)
        context.close()


def photo(path, image, **options):
    Image.fromarray(image).save(path, **options)
    return path


def upscaled(page, path, times=4) -> np.ndarray:
    """Chooses the file, presses the button and downloads the result, like a visitor."""
    page.set_input_files("#file", path)
    expect(page.locator("#start")).to_be_enabled()
    page.click("#start")
    expect(page.locator("#status")).to_contain_text("Done in", timeout=SECONDS)
    with page.expect_download() as download:
        page.click("#save")
    assert download.value.suggested_filename == f"{path.stem}_x{times}.png"
    with Image.open(download.value.path()) as file:
        return np.asarray(file)


@pytest.mark.parametrize(("headers", "threads"), [(ISOLATED, "threads"), ({}, "one thread")])
def test_a_photo_becomes_what_the_command_makes_of_it(headers, threads, folder, browser, tmp_path):
    """A photo in nine tiles has no seam."""
    image = skimage.data.chelsea()[100:190, 100:200]
    with visited(browser, folder, headers) as page:
        reported = []
        page.expose_function("told", lambda line: reported.append(line))
        page.evaluate(
            "new MutationObserver(() => told(document.getElementById('status').textContent))"
            ".observe(document.getElementById('status'), {childList: true})"
        )
        made = upscaled(page, photo(tmp_path / "cat.png", image))
        assert threads in page.inner_text("#status")
        assert sum(" %, " in line for line in reported) >= 5  # 11 %, 22 % …, each with the time left
    expected = np.asarray(upscale(image, load_model("photo"), precision="float32"))
    assert made.shape[:2] == expected.shape[:2] == (360, 400)
    assert np.abs(made[..., :3].astype(int) - expected).max() <= 1


def test_upscaling_by_2_uses_the_x2_model(folder, browser, tmp_path):
    image = skimage.data.chelsea()[100:164, 100:180]
    with visited(browser, folder) as page:
        page.select_option("#times", "2")
        made = upscaled(page, photo(tmp_path / "cat.png", image), times=2)
        assert page.inner_text("#facts") == "cat.png: 80×64 pixels, will be 160×128"
        page.check("input[value=clean]")
        assert page.is_hidden("#times")
        assert page.inner_text("#facts") == "cat.png: 80×64 pixels, will be 320×256"
    expected = np.asarray(upscale(image, load_model("photo-x2"), precision="float32"))
    assert np.abs(made[..., :3].astype(int) - expected).max() <= 1


def test_the_blend_is_for_clean_photos(folder, browser, tmp_path):
    image = skimage.data.coffee()[100:164, 100:180]
    with visited(browser, folder) as page:
        assert not page.is_visible("#alpha")
        page.check("input[value=clean]")
        assert page.is_visible("#alpha")
        assert page.get_attribute("#alpha", "aria-valuetext") == "faithful"
        made = upscaled(page, photo(tmp_path / "cup.png", image))
    expected = np.asarray(upscale(image, load_model("faithful"), precision="float32"))
    assert np.abs(made[..., :3].astype(int) - expected).max() <= 1


def test_orientation_and_transparency(folder, browser, tmp_path):
    """Upscales a photo that was taken upright, and a picture with holes and their colours at the edges."""
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by a quarter
    turned = photo(tmp_path / "upright.jpg", skimage.data.rocket()[100:164, 300:380], exif=exif, quality=95)
    image = np.zeros((64, 70, 4), np.uint8)
    image[...] = (200, 40, 40, 255)
    image[20:44, 20:50, 3] = 0
    holes = photo(tmp_path / "holes.png", image)
    with visited(browser, folder) as page:
        assert upscaled(page, turned).shape[:2] == (320, 256)
        made = upscaled(page, holes)
    assert made.shape == (256, 280, 4)
    assert made[128, 140, 3] == 0
    assert made[4, 4, 3] == 255
    edge = made[made[..., 3] > 128]
    assert np.abs(edge[:, :3].astype(int) - (200, 40, 40)).max() <= 12


def test_before_and_after(folder, browser, tmp_path):
    with visited(browser, folder) as page:
        upscaled(page, photo(tmp_path / "cat.png", skimage.data.chelsea()[100:160, 100:160]))
        for part in (25, 80):
            page.locator("#cut").fill(str(part))
            assert page.evaluate("getComputedStyle(document.getElementById('before')).clipPath") == (
                f"inset(0px {100 - part}% 0px 0px)"
            )
        page.focus("#cut")
        page.keyboard.press("ArrowLeft")
        assert page.input_value("#cut") == "79"
        page.select_option("#zoom", "2")
        assert page.evaluate("document.getElementById('stage').clientWidth") == 2 * 240
        line = page.locator("#line").bounding_box()
        page.mouse.move(line["x"] + 10, line["y"] + 50)
        page.mouse.down()
        page.mouse.move(line["x"] - 200, line["y"] + 50)
        page.mouse.up()
        assert float(page.input_value("#cut")) < 60


def test_stopping_before_anything_is_computed(folder, browser, tmp_path):
    """Stops while the runtime or a network loads; the next job uses the network of its choice."""
    image = skimage.data.chelsea()[100:164, 100:170]
    path = photo(tmp_path / "cat.png", image)
    with visited(browser, folder, slow="photo.tflite") as page:
        page.set_input_files("#file", path)
        for _ in range(2):
            page.click("#start")
            page.click("#stop")
        page.check("input[value=clean]")
        made = upscaled(page, path)
        page.check("input[value=photo]")
        page.click("#start")
        page.click("#stop")
        page.check("input[value=clean]")
        np.testing.assert_array_equal(upscaled(page, path), made)
    expected = np.asarray(upscale(image, load_model("faithful"), precision="float32"))
    assert np.abs(made[..., :3].astype(int) - expected).max() <= 1


def test_the_last_of_two_photos_counts(folder, browser, tmp_path):
    """Opens the photos in any order; a file that is no image changes nothing."""
    with visited(browser, folder) as page:
        page.evaluate(
            "() => { const open = createImageBitmap; window.createImageBitmap = async (file, options) => {"
            "if (file.name === 'slow.png') await new Promise((resolve) => setTimeout(resolve, 1500));"
            "return open(file, options); } }"
        )
        page.set_input_files("#file", photo(tmp_path / "slow.png", skimage.data.coffee()[:40, :50]))
        page.set_input_files("#file", photo(tmp_path / "fast.png", skimage.data.coffee()[:30, :20]))
        expect(page.locator("#facts")).to_have_text("fast.png: 20×30 pixels, will be 80×120")
        page.wait_for_timeout(2000)
        expect(page.locator("#facts")).to_contain_text("fast.png")
        (tmp_path / "notes.txt").write_text("no image")
        page.set_input_files("#file", tmp_path / "notes.txt")
        expect(page.locator("#status")).to_contain_text("notes.txt is no image")
        expect(page.locator("#facts")).to_contain_text("fast.png")
        assert page.is_enabled("#start")


def test_nothing_can_be_sent_from_where_it_is_computed(folder, browser, tmp_path):
    """The page's rules apply to its worker, which has the pixels."""
    send = """() => new Promise((resolve) => {
        addEventListener('securitypolicyviolation', (event) => resolve(event.effectiveDirective));
        fetch('http://127.0.0.1:9/').then(() => resolve('sent'), () => setTimeout(() => resolve('no rule'), 500));
    })"""
    with visited(browser, folder) as page:
        upscaled(page, photo(tmp_path / "cat.png", skimage.data.chelsea()[100:130, 100:130]))
        assert page.evaluate(send) == "connect-src"
        assert page.workers[0].evaluate(send) == "connect-src"


def test_stopping_and_another_photo(folder, browser, tmp_path):
    with visited(browser, folder) as page:
        page.set_input_files("#file", photo(tmp_path / "large.png", skimage.data.astronaut()[:300, :300]))
        page.click("#start")
        expect(page.locator("#status")).to_contain_text("%", timeout=SECONDS)
        page.click("#stop")
        assert page.inner_text("#status") == "Stopped."
        made = upscaled(page, photo(tmp_path / "small.png", skimage.data.chelsea()[100:130, 100:120]))
        assert made.shape[:2] == (120, 80)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("notes.png", b"no image at all", "notes.png is no image that this browser can open"),
        (
            "poster.png",
            (12_000, 9_000),
            "poster.png has 12000×9000 pixels. Its result would have 48000×36000, which is more than this browser",
        ),
    ],
)
def test_an_image_that_cannot_be_upscaled_is_reported_before_the_start(name, content, words, folder, browser, tmp_path):
    if isinstance(content, tuple):
        file = io.BytesIO()
        Image.new("1", content).save(file, "png")
        content = file.getvalue()
    (tmp_path / name).write_bytes(content)
    with visited(browser, folder) as page:
        page.set_input_files("#file", tmp_path / name)
        expect(page.locator("#status")).to_contain_text(words, timeout=SECONDS)
        assert page.is_disabled("#start")


def test_it_works_without_a_network_once_it_is_loaded(folder, browser, tmp_path):
    with visited(browser, folder) as page:
        page.evaluate("navigator.serviceWorker.ready.then(() => true)")
        page.reload()
        path = photo(tmp_path / "cat.png", skimage.data.chelsea()[100:130, 100:130])
        before = upscaled(page, path)
        page.context.set_offline(True)
        page.reload()
        page.wait_for_selector("html[data-ready]")
        np.testing.assert_array_equal(upscaled(page, path), before)


def test_a_new_version_does_not_meet_the_old_one(folder, browser, tmp_path):
    """An open page keeps its version; after closing, all files have the new version."""
    copy = tmp_path / "try"
    shutil.copytree(folder, copy)
    with served(copy, ISOLATED) as address:
        context = browser.new_context()
        page = context.new_page()
        page.goto(address)
        page.evaluate("navigator.serviceWorker.ready.then(() => true)")
        for name, old, new in (
            ("index.html", "<h1>Upscale a photo</h1>", "<h1>Enlarge it</h1>"),
            ("offline.js", "esrgan_tf ", "esrgan_tf new"),  # as another version's has another name
        ):
            (copy / name).write_text((copy / name).read_text().replace(f"{old}", new))
        page.reload()
        assert page.inner_text("h1") == "Upscale a photo"
        page.evaluate("navigator.serviceWorker.getRegistration().then((found) => found.update())")
        page.wait_for_function("navigator.serviceWorker.getRegistration().then((found) => found.waiting !== null)")
        titles = []
        while "Enlarge it" not in titles and len(titles) < 20:  # a busy browser needs a moment to forget a closed page
            page.close()
            page = context.new_page()
            page.goto(address)
            titles.append(page.inner_text("h1"))
        assert titles[-1] == "Enlarge it"
        context.close()


def test_it_is_accessible_and_fits(folder, browser, tmp_path):
    """Checks axe's rules, before and after, light and dark; nothing is wider than a phone's or a desktop's window."""
    with visited(browser, folder) as page:
        for state in ("empty", "done"):
            if state == "done":
                page.check("input[value=clean]")
                upscaled(page, photo(tmp_path / "cat.png", skimage.data.chelsea()[100:130, 100:130]))
            for width, scheme in ((360, "light"), (1440, "dark"), (1440, "light"), (360, "dark")):
                page.set_viewport_size({"width": width, "height": 800})
                page.emulate_media(color_scheme=scheme)
                page.screenshot(path=tmp_path / f"{state}_{width}_{scheme}.png", full_page=True)
                faults = [each for each in Axe().run(page).response["violations"] if each["impact"] != "minor"]
                assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in faults] == []
                assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_without_litert_js_the_command_to_get_it_is_named(tmp_path):
    with pytest.raises(UserError, match="first run npm ci --prefix web"):
        browser_page.build_site(tmp_path / "try", tmp_path)
    assert list(tmp_path.iterdir()) == []
