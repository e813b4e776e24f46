"""Every page, light and dark, wide and narrow: axe-core finds nothing serious, nothing overflows or jumps."""

import tarfile

import pytest

from pinflow.sample.fetch import npm_pack
from pinflow_tests.system.pages.conftest import DRAWN, settled

pytestmark = pytest.mark.system

PATHS = {
    "home": "/",
    "start": "/c/drawings",
    "results": "/c/drawings?q=bar&id=red%2Fbar-0&not=blue%2Fbar-0&judge=1",
    "narrowed": "/c/drawings?label=red-things&max=1",
    "pin": "/c/seen/pins/red%2Fcircle-0",
    "boards": "/boards",
    "board": "/boards/{board}",
    "history": "/history",
    "numbers": "/evaluations",
    "docs": "/docs",
    "lost": "/c/nothing",
}
SERIOUS = """async () => (await axe.run(document, { resultTypes: ["violations"] })).violations
    .filter(one => ["serious", "critical"].includes(one.impact))
    .map(one => `${one.id}: ${one.help}: ${one.nodes.map(node => node.html).join(" | ")}`)"""


@pytest.fixture(scope="session")
def axe(tmp_path_factory):
    """The source of axe-core, fetched by its package name, once for npm's own cache."""
    (tarball,) = npm_pack(("axe-core@4.14.1",), tmp_path_factory.mktemp("axe"))
    with tarfile.open(tarball) as archive:
        return archive.extractfile("package/axe.min.js").read().decode()


def shown(page, address, board, name):
    page.goto(address + PATHS[name].format(board=board["id"]))
    if page.locator("#status").count():
        page.wait_for_selector("#results:not([aria-busy])", state="attached")
        page.wait_for_function("() => document.getElementById('status')?.textContent !== 'Searching…'")


def check(page, axe):
    page.evaluate(axe)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        assert page.evaluate(SERIOUS) == [], scheme


@pytest.mark.parametrize("name", PATHS)
def test_nothing_serious_is_in_the_way(page, address, board, axe, name):
    shown(page, address, board, name)
    check(page, axe)
    page.troubles.clear()  # of the page that is lost


def test_nor_in_what_opens_over_a_page(page, address, axe):
    page.goto(address + "/c/seen?id=red%2Fcircle-0")
    settled(page, "best first")
    page.click("#refine")
    page.click("#results .tile:first-child [data-act=about]")
    for summary in page.locator("dialog summary").all():
        summary.click()
    page.wait_for_selector("dialog .bars li")
    page.wait_for_selector("dialog figure:not([aria-busy]) img.drawing", timeout=DRAWN)
    check(page, axe)
    page.click("dialog >> text=Add to a board")
    page.wait_for_selector("dialog.small")
    check(page, axe)


WATCH = """window.shift = 0;
    new PerformanceObserver(list => list.getEntries().forEach(each => { window.shift += each.value; }))
        .observe({ type: "layout-shift", buffered: true });"""


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", PATHS)
def test_nothing_overflows_or_jumps(browser, address, board, name, width):
    """Every picture has its size at once; a cumulative layout shift below 0.1 is what web.dev calls good."""
    page = browser.new_page(viewport={"width": width, "height": 844})
    page.add_init_script(WATCH)
    shown(page, address, board, name)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.locator("main img:not([width][height])").count() == 0
    assert page.locator("main li img:not([loading=lazy])").count() == 0
    assert page.evaluate("window.shift") < 0.1
    page.close()
