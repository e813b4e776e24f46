"""The search page in a real browser: by picture, by words, filters, address, keyboard, phone."""

import pytest

from pinflow_tests.retrieval.releases import drawing
from pinflow_tests.system.pages.conftest import DRAWN, HOSTILE, settled, tiles

pytestmark = pytest.mark.system


def test_it_starts_with_the_collection(page, address):
    page.goto(address + "/c/drawings")
    settled(page, "most typical first")
    assert page.inner_text("#title") == "Shapes in three colours"
    assert page.locator("#tiles li").count() == 4
    assert "incomplete" in page.inner_text("#tiles")
    page.select_option("#collection", "sketches")
    page.wait_for_function("() => document.getElementById('release')?.textContent.includes('s1')")
    assert page.url.endswith("/c/sketches")


def test_words_find_and_stand_in_the_address(page, address):
    page.goto(address + "/c/drawings")
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
    page.goto(address + "/c/drawings?q=green+bar")
    settled(page, "4 pictures")
    page.click("#results .tile:first-child .picture")
    page.wait_for_selector("#subject:not([hidden])")
    assert page.inner_text("#subject h1") == "Green bar"
    assert all(id.startswith("green/") for id in tiles(page)[:3])
    page.go_back()
    settled(page, "4 pictures")
    assert page.is_hidden("#subject")


def test_a_chosen_a_dropped_and_a_pasted_picture(page, address):
    page.goto(address + "/c/drawings")
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
    page.click("#examples button")
    settled(page, "typical")


def test_filters_narrow_and_clear(page, address):
    page.goto(address + "/c/drawings?q=drawn")
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
    page.goto(address + "/c/drawings?id=red%2Fbar-0")
    first = tiles(page)
    assert len(first) == 35
    assert page.is_hidden("#more")


def test_troubles_are_said_in_words(page, address):
    page.goto(address + "/c/drawings?id=nobody")
    page.wait_for_selector("#error:not([hidden])")
    assert "no pin 'nobody'" in page.inner_text("#error")
    page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": b"not a picture"})
    page.wait_for_function("() => document.getElementById('error').textContent.includes('cannot be used')")
    # The browser itself logs every 4xx; nothing else may have gone wrong.
    assert all("the server responded with a status of 4" in trouble for trouble in page.troubles)
    page.troubles.clear()


def test_scraped_text_stays_text(page, address):
    page.goto(address + "/c/drawings?id=red%2Fcircle-0")
    page.wait_for_selector("#subject:not([hidden])")
    assert page.inner_text("#subject h1") == HOSTILE
    assert page.locator("a[href^='javascript']").count() == 0
    assert page.locator("img[onerror]").count() == 0


def test_the_keyboard_reaches_every_result(page, address):
    page.goto(address + "/c/drawings?q=red+bar")
    settled(page, "4 pictures")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # skip to results
    page.keyboard.press("Tab")
    name = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert name.startswith("More like Red bar, score ")
    page.keyboard.press("Enter")
    page.wait_for_selector("#subject:not([hidden])")


def test_every_result_names_its_page_creator_licence_and_day(page, address):
    page.goto(address + "/c/drawings?q=green+bar")
    settled(page, "4 pictures")
    tile = page.locator("#results .tile:has([data-id='green/bar-1'])")
    assert tile.locator("h2 a").get_attribute("href") == "/c/drawings/pins/green%2Fbar-1"
    assert tile.locator(".credit a").get_attribute("href") == "https://example.com/green/bar/1"
    assert tile.locator(".credit a").inner_text() == "the test · cc0"
    assert tile.locator(".credit time").get_attribute("datetime") == "2026-11-02T10:00:00+00:00"
    tile.locator(".picture").click()
    page.wait_for_selector("#subject:not([hidden])")
    assert "the test · cc0" in page.inner_text("#subject")
    assert "2026" in page.inner_text("#subject time")


def test_several_pictures_are_searched_for_and_left_out(page, address):
    page.goto(address + "/c/drawings?id=red%2Fbar-0")
    settled(page, "35 pictures")
    page.hover("#results .tile:has([data-id='blue/bar-1'])")
    page.click("#results .tile:has([data-id='blue/bar-1']) [data-act=about]")
    page.click("dialog >> text=Add to the search")
    settled(page, "34 pictures")
    assert {id.partition("-")[0] for id in tiles(page)[:6]} == {"red/bar", "blue/bar"}
    page.click("#results .tile:has([data-id='red/bar-1']) [data-act=about]")
    page.click("dialog >> text=Less like this")
    settled(page, "33 pictures")
    assert tiles(page)[0].startswith("blue/bar")
    assert "not=red%2Fbar-1" in page.url
    assert page.locator("#examples .chip").count() == 3
    page.click("#examples .away button")
    settled(page, "34 pictures")


def test_words_can_be_left_out(page, address):
    page.goto(address + "/c/drawings?q=circle")
    settled(page, "11 pictures")
    page.click("#refine")
    page.fill("#without", "red")
    page.press("#without", "Enter")
    page.wait_for_function("() => location.search.includes('without=red')")
    settled(page, "best first")
    assert not any(id.startswith("red") for id in tiles(page)[:4])
    assert page.get_attribute("#refine", "data-count") == "1"


def test_only_close_results(page, address):
    page.goto(address + "/c/drawings?id=red%2Fbar-0")
    settled(page, "35 pictures")
    page.click("#refine")
    page.eval_on_selector(
        "#score", "it => { it.value = 0.5; it.dispatchEvent(new Event('change', { bubbles: true })); }"
    )
    page.wait_for_function("() => location.search.includes('score=0.5')")
    settled(page, "best first")
    scores = page.eval_on_selector_all("#results .score", "all => all.map(one => Number(one.textContent))")
    assert 0 < len(scores) < 35
    assert min(scores) >= 0.5


def test_a_label_can_be_compared_in_its_own_space(page, address):
    page.goto(address + "/c/drawings?id=red%2Fbar-0")
    settled(page, "35 pictures")
    page.click("#refine")
    assert page.is_hidden("#local-of")
    page.click("#labels button:has-text('red things')")
    settled(page, "11 pictures")
    page.check("#local")
    page.wait_for_function("() => location.search.includes('local=1')")
    settled(page, "11 pictures")


def test_an_address_is_searched_by(page, address):
    page.goto(address + "/c/drawings")
    settled(page, "typical")
    page.fill("#words", "https://example.com/green/bar/1")  # the page of a pin, so nothing is fetched
    page.press("#words", "Enter")
    settled(page, "best first")
    assert tiles(page)[0] == "green/bar-1"
    assert "url=https" in page.url
    assert page.input_value("#words") == ""


def test_the_panel_says_why(page, address):
    page.goto(address + "/c/seen?q=red&id=red%2Fcircle-0")
    settled(page, "best first")
    page.click("#results .tile:has([data-id='red/circle-1']) [data-act=about]")
    page.click("dialog summary:has-text('Why it matches')")
    page.wait_for_selector("dialog figure:not([aria-busy]) img.drawing", timeout=DRAWN)
    assert page.eval_on_selector("dialog img.drawing", "image => image.complete && image.naturalWidth > 600")
    told = page.inner_text("dialog .insight[open]")
    assert "shape: circle" in told
    assert "The site shows one beside the other" in told
    page.keyboard.press("Escape")
    assert page.locator("dialog").count() == 0


def test_results_are_rated_and_searches_saved(page, address, api):
    page.goto(address + "/c/drawings?q=green+bar")
    settled(page, "4 pictures")
    page.click("#judge")
    settled(page, "4 pictures")
    good = "#results .tile:has([data-id='green/bar-1']) [data-act=good]"
    page.click(good)
    page.wait_for_selector(good + "[aria-pressed=true]")
    page.reload()
    page.wait_for_selector(good + "[aria-pressed=true]")
    (told,) = api("GET", "/v1/evaluations?collection=drawings")["collections"]
    assert (told["good"], told["bad"]) == (1, 0)
    page.click(good)  # again: taken back
    page.wait_for_selector(good + "[aria-pressed=false]")
    assert api("GET", "/v1/evaluations?collection=drawings")["collections"] == []
    page.click("#keep")
    page.wait_for_function("() => document.getElementById('keep').textContent === 'Saved'")
    (saved,) = api("GET", "/v1/saved")["saved"]
    assert saved["url"].startswith("/c/drawings?q=green+bar")
    api("DELETE", f"/v1/saved/{saved['id']}")


def test_a_picture_that_was_sent_is_looked_up_and_priced_too(page, address):
    page.goto(address + "/c/voted")
    settled(page, "typical")
    red = {"name": "a.png", "mimeType": "image/png", "buffer": drawing("red", "square", 60)}
    page.set_input_files("#file", red)
    page.wait_for_selector("#sent summary")
    page.click("#sent summary:has-text('What it may cost')")
    page.click("#sent summary:has-text('What it is closest to')")
    page.wait_for_selector("#sent .priced li")
    page.wait_for_selector("#sent h3")
    told = page.inner_text("#sent")
    assert "red school" in told
    assert "NaN" not in told


def test_several_pictures_each_in_turn_and_varied(page, address, api):
    page.goto(address + "/c/drawings?id=red%2Fbar-0&id=blue%2Fbar-0")
    settled(page, "34 pictures")
    page.click("#refine")
    with page.expect_response("**/search"):
        page.check("#each")
    assert "each=1" in page.url
    settled(page, "34 pictures")
    query = {"positive": [{"id": "red/bar-0"}, {"id": "blue/bar-0"}], "mix": "interleave", "limit": 40}
    found = api("POST", "/v1/collections/drawings/search", query)["results"]
    assert tiles(page) == [one["id"] for one in found]
    vary = "it => { it.value = 0.8; it.dispatchEvent(new Event('change', { bubbles: true })); }"
    with page.expect_response("**/search"):
        page.eval_on_selector("#variety", vary)
    assert "variety=0.8" in page.url
    settled(page, "34 pictures")


def test_only_pictures_with_an_attribute(page, address):
    page.goto(address + "/c/drawings?q=drawn")
    settled(page, "35 pictures")
    page.click("#refine")
    with page.expect_response("**/search"):
        page.get_by_label("Shape").select_option("bar")
    page.wait_for_selector("#results:not([aria-busy]) .tile")
    assert {id.partition("/")[2].partition("-")[0] for id in tiles(page)} == {"bar"}
    assert "has=shape%3Dbar" in page.url
    page.reload()
    assert page.locator("[data-has=shape]").input_value() == "bar"
    page.wait_for_selector("#results:not([aria-busy]) .tile")
    assert {id.partition("/")[2].partition("-")[0] for id in tiles(page)} == {"bar"}


def test_only_pictures_that_show_a_colour(page, address):
    page.goto(address + "/c/drawings?q=drawn")
    settled(page, "35 pictures")
    page.click("#refine")
    with page.expect_response("**/search"):
        page.fill("#colour", "#3250dc")
    page.wait_for_selector("#results:not([aria-busy]) .tile")
    assert {id.partition("/")[0] for id in tiles(page)} == {"blue"}
    with page.expect_response("**/search"):
        page.click("#any-colour")
    settled(page, "35 pictures")
