"""The page in a real browser: everything is drawn, nothing is fetched, nothing goes wrong."""

from __future__ import annotations

import contextlib
import http.server
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mxdask.report.page import write_report

_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--enable-logging=stderr",
    "--virtual-time-budget=120000",
)  # fmt: skip

# Counts what the page holds once all is drawn, and complains about every attempt to fetch something.
_PROBE = """<script>
window.faults = [];
window.addEventListener("error", (e) => window.faults.push("error " + e.message));
window.addEventListener("unhandledrejection", (e) => window.faults.push("rejection " + e.reason));
document.addEventListener("securitypolicyviolation", (e) => window.faults.push("fetch " + e.blockedURI));
</script>"""
# Figures are drawn one after the other; virtual time runs on while a busy machine draws.
_REPORT = """<script>
const figures = Array.from(document.querySelectorAll("[data-figure]"));
const drawn = () => figures.filter((f) => f.firstElementChild?.getBoundingClientRect().height > 200).length;
function tell() {
  document.querySelector("th").click();
  const search = document.getElementById("search");
  search.value = "no lattice";
  search.dispatchEvent(new Event("input"));
  const rows = Array.from(document.querySelectorAll("table.fate tbody tr"));
  const entries = performance.getEntriesByType("resource").filter((e) => !e.name.startsWith("data:")).length;
  document.title = JSON.stringify(
    { drawn: drawn(), entries, shown: rows.filter((r) => !r.hidden).length, faults: window.faults });
}
const clock = setInterval(() => {
  if (drawn() < figures.length && performance.now() < 100000) return;
  clearInterval(clock);
  tell();
}, 500);
</script>"""
_POLICY = (
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline' 'unsafe-eval'; img-src data: blob:; font-src data:\">"
)


@pytest.fixture
def chromium() -> str:
    program = next((p for p in ("chromium", "chromium-browser", "google-chrome") if shutil.which(p)), None)
    if program is None:
        pytest.skip("no chromium (apt-get install chromium)")
    return program


@contextlib.contextmanager
def _served(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """A local server of the folder, and the paths that were asked of it."""
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object, **kwargs: object) -> None:
            super().__init__(*args, directory=str(folder), **kwargs)  # type: ignore[arg-type]

        def log_message(self, format: str, *args: object) -> None:
            asked.append(self.path)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.slow
def test_page_in_chromium(summaries, tmp_path, chromium):
    page = write_report(tmp_path / "report.html", summaries(6), title="x")
    html = page.read_text().replace("<head>", f"<head>{_POLICY}{_PROBE}", 1).replace("</body>", f"{_REPORT}</body>", 1)
    page.write_text(html)
    with _served(tmp_path) as (address, asked):
        done = subprocess.run(
            [chromium, *_FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", f"{address}/report.html"],
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
    title = done.stdout.split("<title>")[1].split("</title>")[0]
    seen = json.loads(title)
    assert seen["faults"] == []
    assert seen["entries"] == 0
    assert asked == ["/report.html"]
    assert seen["drawn"] == html.count("data-figure=") > 20
    assert seen["shown"] == 1
    assert "Uncaught" not in done.stderr
