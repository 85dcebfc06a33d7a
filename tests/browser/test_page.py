"""The Store's first page, as a person uses it in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from local.platform import Platform
from tests.fix_platform import balance
from tests.fix_stack import ROOT
from tests.integration.api import Secured, serving

pytestmark = [pytest.mark.stack, pytest.mark.timeout(120)]

SCREENSHOTS = ROOT / "build" / "screenshots"
HOSTILE = "<img src=x onerror=\"document.title='taken'\"><script>alert(1)</script>"
SECONDS = 1000.0  # as Playwright counts


@pytest.fixture
def page(browser: Browser, platform: Platform) -> Iterator[Page]:
    """The page of a Store with a Bank behind it; nothing may be said on its console."""
    said: list[str] = []

    def note(message: ConsoleMessage) -> None:
        refused = "responded with a status of 4" in message.text  # by the API
        if message.type in ("error", "warning") and not refused:
            said.append(message.text)

    context = browser.new_context(viewport={"width": 1100, "height": 800})
    with platform.bank(), serving(platform) as (_, url), context:
        page = context.new_page()
        page.on("console", note)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(url)
        yield page
    assert said == []


def send(page: Page, **fields: object) -> None:
    """Fill the form and press the button."""
    for name, value in {"credit_account": 101, **fields}.items():
        page.fill(f"[name={name}]", str(value))
    page.click("text=Send >> visible=true >> nth=-1")


def test_a_person_sends_a_transfer_and_sees_it_posted(
    page: Page, platform: Platform
) -> None:
    send(page, amount=1250, memo="two coffees")
    newest = page.locator("#transfers > li").first
    expect(newest.locator("[data-state=final]")).to_have_text(
        "posted", timeout=30 * SECONDS
    )
    expect(newest.locator(".what")).to_have_text("12.50 EUR from 1 to 101")
    expect(newest.locator(".life .done")).to_have_count(2)
    send(page, debit_account=999)
    expect(
        page.locator("#transfers > li").first.locator("[data-state=final]")
    ).to_have_text("declined: UNKNOWN_ACCOUNT", timeout=30 * SECONDS)
    assert balance(platform, 101) == 1250
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / "store.png", full_page=True)


def test_a_hostile_memo_is_shown_as_text(page: Page) -> None:
    send(page, memo=HOSTILE)
    newest = page.locator("#transfers > li").first
    expect(newest.locator(".memo")).to_have_text(HOSTILE)
    expect(newest.locator("[data-state=final]")).to_have_text(
        "posted", timeout=30 * SECONDS
    )
    assert page.locator("img, #transfers script").count() == 0
    assert page.title() == "Once Store"


def test_what_is_wrong_is_said_beside_the_transfer(page: Page) -> None:
    send(page, amount="-5", currency="eu")
    problem = page.locator("#transfers > li").first.locator(".problem")
    expect(problem).to_contain_text("amount: Input should be greater than 0")
    expect(problem).to_contain_text("currency: String should match pattern")


def test_an_amount_is_shown_as_its_currency_is_written(page: Page) -> None:
    send(page, amount=1250, currency="JPY")
    what = page.locator("#transfers > li").first.locator(".what")
    expect(what).to_have_text("1250 JPY from 1 to 101")


def test_a_stream_that_ends_before_the_verdict_is_asked_for_again(
    browser: Browser, platform: Platform
) -> None:
    context = browser.new_context()
    with serving(platform, events_seconds_max=1) as (_, url), context:
        page = context.new_page()
        page.goto(url)
        send(page, amount=250)
        newest = page.locator("#transfers > li").first
        expect(newest.locator(".problem")).to_contain_text(
            "asking again", timeout=30 * SECONDS
        )
        with platform.bank():
            expect(newest.locator("[data-state=final]")).to_have_text(
                "posted", timeout=30 * SECONDS
            )
        expect(newest.locator(".problem")).to_be_hidden()


def test_the_links_lead_to_the_docs_and_the_problems(page: Page) -> None:
    page.click("nav >> text=Problems")
    expect(page.locator("tr#backlog-full")).to_contain_text("503")
    page.go_back()
    page.click("nav >> text=API")
    expect(page.locator("#swagger-ui")).to_contain_text(
        "/v1/transfers:batch", timeout=30 * SECONDS
    )


def test_where_tokens_are_asked_the_page_asks_for_one(
    browser: Browser, platform: Platform, tmp_path: Path
) -> None:
    secured = Secured(tmp_path)
    context = browser.new_context(ignore_https_errors=True)
    settings = secured.settings()
    with platform.bank(), serving(platform, **settings) as (_, url), context:
        page = context.new_page()
        page.goto(url)
        send(page, token="nonsense")
        newest = page.locator("#transfers > li").first
        expect(newest.locator(".problem")).to_contain_text("No valid token")
        send(page, token=secured.issuer.token("ann"))
        newest = page.locator("#transfers > li").first
        expect(newest.locator("[data-state=final]")).to_have_text(
            "posted", timeout=30 * SECONDS
        )
