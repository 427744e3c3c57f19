#!/usr/bin/env python3
"""Uses the chat page of `attn serve` in headless Chromium.

    apt-get install chromium; pip install playwright
    scripts/serve_page.py [--pictures FOLDER]
"""

import argparse
import json
import os
import re
import shutil
import sys

from playwright.sync_api import expect, sync_playwright

from serving import serving


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--pictures")
    options = arguments.parse_args()
    browser_path = os.environ.get("CHROMIUM") or shutil.which("chromium")

    with serving() as server, sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1100, "height": 760})
        problems, foreign, sent = [], [], []
        page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))

        def seen(request):
            if not request.url.startswith((server.url, "data:")):
                foreign.append(request.url)
            if request.url.endswith("/v1/chat/completions"):
                sent.append(json.loads(request.post_data))

        page.on("request", seen)

        def picture(name):
            if options.pictures:
                os.makedirs(options.pictures, exist_ok=True)
                page.screenshot(path=os.path.join(options.pictures, name + ".png"))

        page.goto(server.url + "/")
        expect(page.locator("#model")).to_have_text("smollm2-135m-instruct")
        picture("empty-light")

        # A question and its answer, with the speed.
        page.locator("#input").fill("Name three colours.")
        page.locator("#input").press("Enter")
        note = page.locator(".turn.assistant .note").last
        expect(note).to_contain_text(re.compile(r"\d+ tokens · [\d.]+ tokens/s"), timeout=60000)
        assert page.locator(".turn.assistant .text").last.inner_text().strip()
        assert page.locator(".turn.user .text").inner_text() == "Name three colours."
        assert sent[0]["stream"] and sent[0]["temperature"] == 0.7, sent[0]

        # The parameters that are set are the ones that are sent.
        page.locator("#toggle").click()
        for name, value in (
            ("temperature", "0"),
            ("top_p", "0.5"),
            ("top_k", "7"),
            ("max_tokens", "40"),
            ("seed", "11"),
            ("frequency_penalty", "0.5"),
            ("stop", "zzz"),
            ("system", "Be brief."),
        ):
            page.locator(f"#settings [name={name}]").fill(value)
        picture("settings-light")
        page.locator("#input").fill("Show `code`, **bold** and <b>markup</b>.")
        page.locator("#send").click()
        expect(page.locator(".turn.assistant")).to_have_count(2)
        expect(page.locator("#send")).to_have_text("Send", timeout=60000)
        last = sent[-1]
        assert last["temperature"] == 0 and last["top_p"] == 0.5 and last["top_k"] == 7, last
        assert last["max_tokens"] == 40 and last["seed"] == 11 and last["stop"] == "zzz", last
        assert [m["role"] for m in last["messages"]] == ["system", "user", "assistant", "user"]
        assert page.locator(".turn b").count() == 0, "a message was taken as markup"

        # Asked again with the same seed, the answer is the same.
        text = page.locator(".turn.assistant .text").last.inner_text()
        page.locator(".turn.assistant").last.get_by_role("button", name="again").click()
        expect(page.locator("#send")).to_have_text("Send", timeout=60000)
        expect(page.locator(".turn.assistant")).to_have_count(2)
        assert page.locator(".turn.assistant .text").last.inner_text() == text

        # Stopping ends the request in the engine too; this one would not end by itself so soon.
        page.route(
            "**/v1/chat/completions",
            lambda route: route.continue_(
                post_data=json.dumps({**route.request.post_data_json, "ignore_eos": True})
            ),
        )
        page.locator("#settings [name=max_tokens]").fill("4000")
        page.locator("#settings [name=stop]").fill("")
        page.locator("#settings [name=temperature]").fill("1.5")
        page.locator("#input").fill("Count from one to one thousand in words.")
        page.locator("#send").click()
        expect(page.locator("#send")).to_have_text("Stop")
        expect(page.locator(".turn.assistant .text").last).not_to_be_empty(timeout=60000)
        picture("streaming-light")
        page.locator("#send").click()
        expect(page.locator("#send")).to_have_text("Send")
        expect(page.locator(".turn.assistant .note").last).to_contain_text("stopped")
        page.unroute("**/v1/chat/completions")
        assert server.wait_idle(5), "the engine goes on after the stop button"

        # An error is shown, not swallowed.
        page.locator("#settings [name=max_tokens]").fill("100000")
        page.locator("#input").fill("Hi")
        page.locator("#send").click()
        expect(page.locator(".turn.assistant .note.error").last).to_contain_text("context")
        problems = [p for p in problems if "400" not in p]

        # Settings stay, keys do not.
        page.locator("#settings [name=key]").fill("secret")
        page.locator("#settings [name=max_tokens]").fill("33")
        page.reload()
        assert page.locator("#settings [name=max_tokens]").input_value() == "33"
        assert page.locator("#settings [name=key]").input_value() == ""

        page.emulate_media(color_scheme="dark")
        page.locator("#input").fill("Write a haiku about the sea.")
        page.locator("#input").press("Enter")
        expect(note).to_contain_text("tokens/s", timeout=60000)
        expect(page.locator("#send")).to_have_text("Send", timeout=60000)
        page.locator("#toggle").click()
        picture("answer-dark")
        page.locator("#fresh").click()
        expect(page.locator(".turn")).to_have_count(0)
        page.set_viewport_size({"width": 390, "height": 780})
        picture("phone-dark")
        browser.close()
        if problems or foreign:
            print("FAILED ", problems, foreign)
            sys.exit(1)
    print("ok      the chat page")


if __name__ == "__main__":
    main()
