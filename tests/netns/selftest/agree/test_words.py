"""docs/CONFIGURATION.md says what becomes of the words of files in use: tproxyd and HAProxy do what each row says."""

import os
import re
import shutil
import subprocess

import pytest

from lab.paths import ROOT, TPROXYD

ROW = re.compile(r"^\| `([^`]+)` \| (global|defaults|listen) \| (obeyed|warning|refused) \| (accepted|refused) \|", re.M)
ROWS = ROW.findall((ROOT / "docs" / "CONFIGURATION.md").read_text(encoding="utf-8"))
FILE = """\
global
{global}
defaults
    timeout connect 5s
    timeout client 1m
    timeout server 1m
{defaults}
listen l
{listen}
    bind 127.0.0.1:7000
    server s 127.0.0.1:7001
backend b
    mode tcp
    server s 127.0.0.1:7002
"""


def said(program, line, place, folder):
    """(whether a file with that line is accepted, what the program says of it)"""
    lines = dict.fromkeys(("global", "defaults", "listen"), "")
    lines["listen"] = "    mode tcp" if line != "mode http" or place != "listen" else ""
    lines[place] += f"\n    {line}"
    path = folder / "words.cfg"
    path.write_text(FILE.format(**lines), encoding="utf-8")
    done = subprocess.run([program, "-c", "-f", path], capture_output=True, text=True, check=False)
    return done.returncode == 0, done.stdout + done.stderr


def test_the_table_is_there():
    assert len(ROWS) > 40


@pytest.mark.parametrize("line, place, kind, _", ROWS)
def test_tproxyd_does_what_the_row_says(line, place, kind, _, tmp_path):
    if not os.access(TPROXYD, os.X_OK):
        pytest.skip("absent: build/tproxyd; `make` builds it")
    accepted, text = said(TPROXYD, line, place, tmp_path)
    assert accepted == (kind != "refused"), text
    assert ("warning:" in text) == (kind == "warning"), text
    assert kind == "obeyed" or any(word in text for word in line.split()), text


@pytest.mark.parametrize("line, place, _, verdict", ROWS)
def test_haproxy_does_what_the_row_says(line, place, _, verdict, tmp_path):
    if not shutil.which("haproxy"):
        pytest.skip("absent: haproxy")
    accepted, text = said("haproxy", line, place, tmp_path)
    assert accepted == (verdict == "accepted"), text


@pytest.mark.parametrize("line, place, kind, verdict", [row for row in ROWS if row[2] != "refused" and row[3] == "refused"])
def test_what_haproxy_refuses_is_accepted_only_where_it_was_its_own_word(line, place, kind, verdict):
    assert (line, kind) == ("nbproc 1", "warning")
