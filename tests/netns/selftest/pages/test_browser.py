"""The browser of the tests: what is asked of a page that gives way to the next one is asked of that one."""

import pytest

from lab.conformance import browser

pytestmark = pytest.mark.suite

HASTY = """<!doctype html><title>hasty</title>
<script>
const turn = Number(location.search.slice(1));
if (turn < 60) location.replace(`?${turn + 1}`);
</script>
"""


def test_a_page_that_gives_way_to_the_next_one_is_waited_for(tmp_path):
    page = tmp_path / "hasty.html"
    page.write_text(HASTY, encoding="utf-8")
    with browser.Browser() as made:
        made.call("Page.navigate", url=f"file://{page}?0")
        made.await_value("new Promise(done => setTimeout(done, 1, location.search === '?60'))", "the last page is there")


def test_other_errors_of_the_browser_are_errors(tmp_path):
    with browser.Browser() as made, pytest.raises(AssertionError):
        made.await_value("surely not JavaScript", "nothing")
