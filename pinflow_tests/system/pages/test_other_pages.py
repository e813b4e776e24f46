"""Home, a pin's own page, boards, history and numbers in a real browser."""

import pytest

from pinflow_tests.system.pages.conftest import DRAWN, HOSTILE, settled, tiles

pytestmark = pytest.mark.system


def test_home_shows_the_collections_and_searches_one(page, address):
    page.goto(address)
    assert page.locator(".collection .title").all_text_contents() == ["drawings", "seen", "sketches", "voted"]
    assert "36 pictures under 4 labels" in page.inner_text(".collection:first-child")
    page.select_option(".hero-ask select", "sketches")
    page.fill(".hero-ask input", "blue bar")
    page.keyboard.press("Enter")
    settled(page, "1 picture")
    assert page.url == f"{address}/c/sketches?q=blue+bar"


@pytest.mark.parametrize(
    "path", ["/c/nothing", "/c/drawings/pins/nobody", "/c/nothing/pins/x", "/boards/none"]
)
def test_what_is_not_there_is_said_on_a_page(page, address, path):
    answer = page.goto(address + path)
    assert answer.status == 404
    assert page.inner_text("h1") == "Nothing here"
    page.troubles.clear()  # the browser logs the 404


def test_the_page_of_a_pin(page, address):
    page.goto(address + "/c/drawings/pins/green%2Fbar-1")
    assert page.inner_text("h1") == "Green bar"
    told = page.inner_text(".told")
    for fact in ("the test", "cc0", "160 × 120 pixels", "2 Nov 2026", "shape", "bar"):
        assert fact in told
    assert page.get_attribute("text=See its page", "href") == "https://example.com/green/bar/1"
    near = page.eval_on_selector_all("section:has-text('Alike') .card", "all => all.map(a => a.pathname)")
    assert all("/pins/green%2Fbar" in path for path in near[:3])
    assert page.locator("section:has(h2:text('The site shows beside it')) .card").count() == 1
    page.click("text=More like this")
    page.wait_for_selector("#subject:not([hidden])")
    assert tiles(page)[0].startswith("green/bar")


def test_scraped_text_stays_text_on_it(page, address):
    page.goto(address + "/c/drawings/pins/red%2Fcircle-0")
    assert page.inner_text("h1") == HOSTILE
    assert page.locator("a[href^='javascript']").count() == 0
    assert page.locator("img[onerror]").count() == 0


def test_tags_where_the_collection_has_a_tagger(page, address):
    page.goto(address + "/c/seen/pins/red%2Fcircle-0")
    page.click("summary:has-text('What it shows')")
    page.wait_for_selector(".bars li")
    best = page.locator(".bars li").first
    assert "red things" in best.inner_text()
    assert best.get_attribute("class") == "given"
    assert page.locator(".evidence a").count() > 3
    best.locator("button").click()
    page.wait_for_selector("figure:not([aria-busy]) img.drawing", timeout=DRAWN)
    assert page.eval_on_selector("img.drawing", "image => image.complete && image.naturalWidth > 100")
    page.goto(address + "/c/drawings/pins/red%2Fcircle-1")
    assert page.locator("summary:has-text('What it shows')").count() == 0


def test_a_look_up_where_neighbours_can_vote(page, address):
    page.goto(address + "/c/voted/pins/red%2Fcircle-0")
    page.click("summary:has-text('What it is closest to')")
    page.wait_for_selector(".insight[open] h3")
    told = page.inner_text(".insight:has(h3)")
    assert "red school" in told
    assert "% sure" in told  # the years, an interval
    assert "NaN" not in told
    page.goto(address + "/c/drawings/pins/red%2Fcircle-1")
    assert page.locator("summary:has-text('What it is closest to')").count() == 0


def test_a_price_for_what_is_in_a_box(page, address):
    page.goto(address + "/c/voted/pins/red%2Fsquare-0")
    assert page.inner_text(".price-tag") == "20.00 EUR"  # it has one, and must not vote for itself
    assert page.locator("summary:has-text('What it may cost')").count() == 0
    page.goto(address + "/c/voted/pins/red%2Fbar-0")
    page.click("summary:has-text('What it may cost')")
    page.wait_for_selector(".stage .box")
    frame = page.locator(".stage").bounding_box()
    page.mouse.move(frame["x"] + 3, frame["y"] + 3)
    page.mouse.down()
    page.mouse.move(frame["x"] + frame["width"] - 3, frame["y"] + frame["height"] - 3, steps=4)
    page.mouse.up()
    page.wait_for_selector(".stage .box:not(.ghost)")
    with page.expect_response("**/price") as asked:
        page.focus(".stage .box")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Shift+ArrowLeft")
        page.keyboard.press("Enter")
    assert asked.value.ok
    page.wait_for_function("() => document.querySelectorAll('.priced li').length === 1")
    assert page.inner_text(".priced li").strip()


def test_why_a_neighbour_is_alike(page, address):
    page.goto(address + "/c/seen/pins/red%2Fcircle-0")
    page.click("button.why[data-id='red/circle-1']")
    page.wait_for_selector("dialog figure:not([aria-busy]) img.drawing", timeout=DRAWN)
    assert "shape: circle" in page.inner_text("dialog")


def test_a_board_is_made_filled_searched_by_and_deleted(page, address, api):
    page.goto(address + "/boards")
    page.fill("#new input", "Bars")
    page.click("#new button")
    page.wait_for_selector("h1:text('Bars')")
    assert "Nothing is here yet" in page.inner_text("main")
    board = page.url
    page.goto(address + "/c/drawings?q=blue+bar")
    settled(page, "4 pictures")
    for id in ("blue/bar-0", "blue/bar-1"):
        page.click(f"#results .tile:has([data-id='{id}']) [data-act=save]")
        page.click("dialog .choices button:has-text('Bars')")
        page.wait_for_selector("dialog .status:text('It is on')")
        page.keyboard.press("Escape")
    page.goto(board)
    assert page.locator(".cards .card").count() == 2
    page.click("text=Search by all of it")
    settled(page, "best first")
    assert all(id.startswith("blue/bar") for id in tiles(page)[:2])
    assert not {"blue/bar-0", "blue/bar-1"} & set(tiles(page))
    page.goto(board)
    page.click(".cards .remove >> nth=0")
    page.wait_for_function("() => document.querySelectorAll('.cards .card').length === 1")
    page.click("summary:text('Change')")
    page.fill("#rename input", "Blue bars")
    page.click("#rename button")
    page.wait_for_selector("h1:text('Blue bars')")
    page.on("dialog", lambda dialog: dialog.accept())
    page.click("summary:text('Change')")
    page.click("#delete")
    page.wait_for_url("**/boards")
    assert not any(one["name"] == "Blue bars" for one in api("GET", "/v1/boards")["boards"])


def test_a_new_board_from_a_pin(page, address, api):
    page.goto(address + "/c/drawings/pins/green%2Fbar-1")
    page.click("#save")
    page.fill("dialog input", "Green")
    page.click("dialog >> text=Create and add")
    page.wait_for_selector("dialog .status:text('It is on')")
    (made,) = [one for one in api("GET", "/v1/boards")["boards"] if one["name"] == "Green"]
    assert made["pins"] == 1
    api("DELETE", f"/v1/boards/{made['id']}")


def test_history_asks_again_and_forgets(page, address, api):
    api("DELETE", "/v1/history")
    page.goto(address + "/c/drawings?q=green+bar&id=green%2Fbar-0&max=90")
    settled(page, "best first")
    page.goto(address + "/history")
    entry = page.locator(".rows li").first
    assert "green bar" in entry.inner_text()
    assert "up to 90" in entry.inner_text()
    assert entry.locator("img").count() == 1
    entry.locator("a").click()
    settled(page, "best first")
    assert page.input_value("#words") == "green bar"
    assert page.input_value("#max") == "90"
    page.goto(address + "/history")
    page.click(".rows .remove")
    page.wait_for_selector("text=Nothing yet")
    assert api("GET", "/v1/history")["searches"] == []


def test_numbers_are_shown_where_something_was_marked(page, address, api):
    query = {"positive": [{"text": "green bar"}]}
    for shape, good in (("bar", True), ("circle", True), ("square", False)):
        mark = {"query": query, "pin": f"green/{shape}-0", "good": good}
        api("POST", "/v1/collections/sketches/evaluations", mark)
    page.goto(address + "/evaluations")
    told = page.inner_text(".numbers:has(#of-sketches)")
    assert "67% good" in told
    assert "2 good and 1 bad in 1 search" in told
    assert page.get_attribute("th a", "href") == "/c/sketches?q=green+bar"
    assert "marked nothing" in page.inner_text(".numbers:has(#of-seen)")
