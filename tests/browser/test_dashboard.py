"""The dashboard in headless Chromium: what a person sees, types and hears read out."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from distcache.testing import Images, Upstream, image
from tests.adapters.blocking import Client
from tests.adapters.scripted import hang, scripted, until
from tests.commands.shop import Shop
from tests.interop.tools import need
from tests.support.origin import Origin

CHROMIUM = "chromium-headless-shell"
PATIENCE = 60_000
"""Milliseconds; a loaded two-core machine stays far below."""

SIZES = [(1280, 900), (390, 844)]
IMAGES: Images = {
    "team/app": {"1": image([{"file": b"x" * 5000}])},
    "team/a-long-name-of-a-repository/with-parts/and-more-parts-than-usual": {
        "release-2024.11.24-build.1234567890": image([{"file": b"y" * 5000}])
    },
}
RATIO = """() => {
  const numbers = (color) => color.match(/[\\d.]+/g).slice(0, 3).map(Number);
  const light = (color) => {
    const [r, g, b] = numbers(color).map((n) => n / 255)
      .map((c) => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    const color = getComputedStyle(element).backgroundColor;
    return color === "rgba(0, 0, 0, 0)" ? behind(element.parentElement) : color;
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!own) continue;
    const [a, b] = [light(getComputedStyle(element).color), light(behind(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) found.push(`${element.textContent}: ${ratio}`);
  }
  return found;
}"""
"""Texts whose contrast is below WCAG 2.1's 4.5 (1.4.3, AA)."""
CUT_OFF = """() => [...document.querySelectorAll("section")]
  .filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.textContent)"""
"""Sections of which a part is to be seen only by scrolling sideways."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    need(CHROMIUM)
    with sync_playwright() as playwright:
        # As root there is no sandbox; nothing but this page is shown.
        options = ["--no-sandbox", "--disable-gpu"]
        opened = playwright.chromium.launch(
            executable_path=f"/usr/bin/{CHROMIUM}", args=options, timeout=PATIENCE
        )
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A server that has served images and errors."""
    with Upstream(IMAGES) as upstream:
        port = int(upstream.url.rpartition(":")[2])
        shop = Shop(tmp_path_factory.mktemp("browser"), Origin(port), proxy={"max_size": "1MB"})
        shop.configure()
        with shop.running():
            for name, tags in IMAGES.items():
                shop.ask("warm", *(f"{name}:{tag}" for tag in tags))
            assert shop.run("warm", "team/none:1").exit_code == 1
            yield shop


@pytest.fixture
def page(browser: Browser, shop: Shop) -> Iterator[Page]:
    context = browser.new_context()
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"http://{shop.debug}/")
    yield page
    context.close()
    assert said == []
    assert all(url.startswith(f"http://{shop.debug}/") for url in asked)


def live(page: Page) -> None:
    expect(page.get_by_role("status")).to_have_text("live", timeout=PATIENCE)


def test_it_shows_what_is_held_and_what_went_wrong_and_stays_live(page: Page) -> None:
    live(page)
    assert page.title() == "distcache"
    expect(page.get_by_role("link", name="docker.io/team/app:1")).to_be_visible()
    expect(page.get_by_role("cell", name="docker.io/team/none:1")).to_contain_text("not found")
    expect(page.get_by_label("of 1.0 MB")).to_be_visible()


def test_a_search_by_keyboard_says_why(page: Page) -> None:
    live(page)
    page.keyboard.press("Tab")
    expect(page.get_by_label("What would a pull get?")).to_be_focused()
    page.keyboard.type("team/app:1")
    page.keyboard.press("Enter")
    expect(page.get_by_text("asked whether the tag has moved")).to_be_visible()
    live(page)
    expect(page.get_by_label("What would a pull get?")).to_have_value("team/app:1")


def test_an_image_of_the_list_leads_to_its_why(page: Page, shop: Shop) -> None:
    page.get_by_role("link", name="docker.io/team/app:1").click()
    expect(page.get_by_text(shop.ask("why", "team/app:1")["digest"])).to_be_visible()


def test_a_search_for_markup_is_shown_as_it_was_typed(page: Page) -> None:
    hostile = "<img src=x onerror=\"document.title='taken'\">"
    page.get_by_label("What would a pull get?").fill(hostile)
    page.get_by_role("button", name="Why").click()
    expect(page.get_by_label("What would a pull get?")).to_have_value(hostile)
    assert page.locator("img").count() == 0
    assert page.title() == "distcache"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_it_can_be_read_on_every_screen(
    page: Page, shop: Shop, tmp_path: Path, scheme: str, width: int, height: int
) -> None:
    """Nothing is wider than the screen, and every text stands out from its ground."""
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.goto(f"http://{shop.debug}/?ref=team/app:1")
    live(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CUT_OFF) == []
    assert page.evaluate(RATIO) == []
    levels = page.locator("h1, h2").evaluate_all("all => all.map((one) => one.tagName)")
    assert levels[0] == "H1"
    assert levels.count("H1") == 1
    page.screenshot(path=tmp_path / f"{scheme}-{width}.png", full_page=True)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_transfer_under_way_is_seen_whole(
    browser: Browser, tmp_path: Path, width: int, height: int
) -> None:
    layer = bytes(4_000_000)
    with scripted() as upstream:
        shop = Shop(tmp_path, Origin(upstream.port))
        shop.configure()
        path = upstream.blob("ml/weights", layer, until(layer, 1_000_000, hang))
        context = browser.new_context(viewport={"width": width, "height": height})
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        with shop.running(), Client.to(shop.port) as client:
            client.ask(path)
            client.head()
            client.take(1_000_000)
            page.goto(f"http://{shop.debug}/")
            expect(page.get_by_text("1.0 MB of 4.0 MB")).to_be_visible(timeout=PATIENCE)
            expect(page.get_by_label("docker.io/ml/weights")).to_have_attribute("max", "4000000")
            assert page.evaluate(CUT_OFF) == []
        context.close()


def test_without_its_script_it_is_the_same(browser: Browser, shop: Shop) -> None:
    context = browser.new_context(java_script_enabled=False)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.goto(f"http://{shop.debug}/")
    expect(page.get_by_role("status")).to_have_text("as of now")
    page.get_by_label("What would a pull get?").fill("team/app:1")
    page.get_by_role("button", name="Why").click()
    expect(page.get_by_text("asked whether the tag has moved")).to_be_visible()
    context.close()


def test_it_says_when_the_server_has_gone(browser: Browser, tmp_path: Path) -> None:
    shop = Shop(tmp_path, Origin(1))
    shop.configure()
    context = browser.new_context()
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    with shop.running():
        page.goto(f"http://{shop.debug}/")
        live(page)
    expect(page.get_by_role("status")).to_have_text("the server does not answer", timeout=PATIENCE)
    context.close()
