"""The page in a real browser: by picture, by words, filters, address, keyboard, phone."""

import shutil
import socket
import threading
import time

import pytest
import uvicorn

from pinflow.serving.app import make_app
from pinflow.serving.releases import Releases
from pinflow.settings import Settings
from pinflow_tests.retrieval.releases import GridTrunk, drawing, make_pins
from pinflow_tests.serving.source import FolderSource

pytestmark = pytest.mark.system

HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>alert(1)</script>"


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    pins = make_pins()
    pins[0] |= {"title": HOSTILE, "page_url": "javascript:alert(1)", "caption": HOSTILE}
    source = FolderSource(tmp_path_factory.mktemp("source"))
    source.publish("drawings", "r1", pins=pins)
    source.publish("sketches", "s1", pins=make_pins(1))
    releases = Releases(source, load_trunk=lambda name: GridTrunk(), every=0.05)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = uvicorn.Server(
        uvicorn.Config(make_app(releases, Settings(api_token=None)), port=port, log_level="warning")
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    end = time.monotonic() + 20
    while not (server.started and len(releases.names()) == 2):
        assert time.monotonic() < end
        time.sleep(0.02)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield browser
        browser.close()


@pytest.fixture
def page(browser, address):
    """A page that fails the test if it logs an error or asks another server for anything."""
    page = browser.new_page(viewport={"width": 1280, "height": 860})
    page.set_default_timeout(10_000)
    troubles = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("console", lambda line: troubles.append(line.text) if line.type == "error" else None)
    page.on(
        "request",
        lambda request: None if request.url.startswith((address, "blob:")) else troubles.append(request.url),
    )
    page.troubles = troubles
    yield page
    page.close()
    assert troubles == []


def tiles(page):
    page.wait_for_selector("#results:not([aria-busy]) .tile")
    return page.eval_on_selector_all("#results .picture", "links => links.map(link => link.dataset.id)")


def settled(page, words):
    page.wait_for_function(
        "words => document.getElementById('status').textContent.includes(words)", arg=words
    )


def test_the_start_page_shows_the_collection(page, address):
    page.goto(address)
    settled(page, "most typical first")
    assert page.inner_text("#title") == "Shapes in three colours"
    assert page.locator("#tiles li").count() == 4
    assert "incomplete" in page.inner_text("#tiles")
    page.select_option("#collection", "sketches")
    page.wait_for_function("() => document.getElementById('release').textContent.includes('s1')")
    assert "c=sketches" in page.url


def test_words_find_and_stand_in_the_address(page, address):
    page.goto(address + "/?c=drawings")
    settled(page, "typical")
    page.keyboard.press("/")
    page.keyboard.type("blue circle")
    page.keyboard.press("Enter")
    settled(page, "4 pictures")
    assert all(id.startswith("blue/circle") for id in tiles(page))
    assert "q=blue+circle" in page.url
    page.reload()
    settled(page, "4 pictures")
    assert page.input_value("#words") == "blue circle"


def test_a_click_shows_more_like_it_and_back_returns(page, address):
    page.goto(address + "/?c=drawings&q=green+bar")
    settled(page, "4 pictures")
    page.click("#results .tile:first-child .picture")
    page.wait_for_selector("#subject:not([hidden])")
    assert page.inner_text("#subject h1") == "Green bar"
    assert all(id.startswith("green/") for id in tiles(page)[:3])
    page.go_back()
    settled(page, "4 pictures")
    assert page.is_hidden("#subject")


def test_a_chosen_a_dropped_and_a_pasted_picture(page, address):
    page.goto(address + "/?c=drawings")
    settled(page, "typical")
    page.set_input_files(
        "#file", {"name": "a.png", "mimeType": "image/png", "buffer": drawing("red", "bar", 1)}
    )
    page.wait_for_selector("#subject:not([hidden])")
    assert tiles(page)[0] == "red/bar-1"
    give = """([type, numbers]) => {
        const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(numbers)], "a.png", { type: "image/png" }));
        const options = { bubbles: true, cancelable: true };
        window.dispatchEvent(type === "drop"
            ? new DragEvent("drop", { ...options, dataTransfer: data })
            : new ClipboardEvent("paste", { ...options, clipboardData: data }));
    }"""
    for kind, colour in (("drop", "blue"), ("paste", "green")):
        page.evaluate(give, [kind, list(drawing(colour, "square", 3))])
        page.wait_for_selector(f'#results:not([aria-busy]) .tile:first-child [data-id="{colour}/square-3"]')
    page.click("#forget")
    settled(page, "typical")


def test_filters_narrow_and_clear(page, address):
    page.goto(address + "/?c=drawings&q=drawn")
    settled(page, "35 pictures")
    page.click("#labels button:has-text('red things')")
    settled(page, "11 pictures")
    page.fill("#max", "11")
    page.press("#max", "Enter")
    settled(page, "1 picture")
    assert "label=red-things" in page.url
    assert "max=11" in page.url
    page.fill("#max", "1")
    page.press("#max", "Enter")
    page.wait_for_selector("#empty:not([hidden])")
    page.click("#clear")
    settled(page, "35 pictures")


def test_more_pages_follow(page, address):
    page.goto(address + "/?c=drawings&id=red%2Fbar-0")
    first = tiles(page)
    assert len(first) == 35
    assert page.is_hidden("#more")


def test_troubles_are_said_in_words(page, address):
    page.goto(address + "/?c=nothing")
    page.wait_for_selector("#error:not([hidden])")
    assert "no collection" in page.inner_text("#error").lower()
    page.goto(address + "/?c=drawings&id=nobody")
    page.wait_for_selector("#error:not([hidden])")
    assert "no pin 'nobody'" in page.inner_text("#error")
    page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": b"not a picture"})
    page.wait_for_function("() => document.getElementById('error').textContent.includes('cannot be used')")
    # The browser itself logs every 4xx; nothing else may have gone wrong.
    assert all("the server responded with a status of 4" in trouble for trouble in page.troubles)
    page.troubles.clear()


def test_scraped_text_stays_text(page, address):
    page.goto(address + "/?c=drawings&id=red%2Fcircle-0")
    page.wait_for_selector("#subject:not([hidden])")
    assert page.inner_text("#subject h1") == HOSTILE
    assert page.locator("a[href^='javascript']").count() == 0
    assert page.locator("img[onerror]").count() == 0


def test_the_keyboard_reaches_every_result(page, address):
    page.goto(address + "/?c=drawings&q=red+bar")
    settled(page, "4 pictures")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # skip to results
    page.keyboard.press("Tab")
    name = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert name.startswith("More like Red bar, score ")
    page.keyboard.press("Enter")
    page.wait_for_selector("#subject:not([hidden])")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_overflows_or_jumps(browser, address, width, scheme):
    page = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    page.goto(address + "/?c=drawings&id=red%2Fbar-0")
    tiles(page)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    heights = page.eval_on_selector_all(
        "#results img", "all => all.map(i => i.getBoundingClientRect().height)"
    )
    assert min(heights) > 40  # also those not loaded yet have their size
    assert page.locator("#results img:not([loading=lazy])").count() == 0
    page.close()


def test_every_result_names_its_page_creator_licence_and_day(page, address):
    page.goto(address + "/?c=drawings&q=green+bar")
    settled(page, "4 pictures")
    tile = page.locator("#results .tile:has([data-id='green/bar-1'])")
    assert tile.locator("h2 a").get_attribute("href") == "https://example.com/green/bar/1"
    assert tile.locator(".credit span").inner_text() == "the test · cc0"
    assert tile.locator(".credit time").get_attribute("datetime") == "2026-11-02T10:00:00+00:00"
    tile.locator(".picture").click()
    page.wait_for_selector("#subject:not([hidden])")
    assert "the test · cc0" in page.inner_text("#subject")
    assert "2026" in page.inner_text("#subject time")
