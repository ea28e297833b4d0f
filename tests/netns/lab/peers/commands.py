"""Commands for a `stats socket`, and what the answers hold."""

import csv
import io
import socket

from lab import waiting


def converse(path, text, ends=True):
    """Everything that is answered until the connection ends; `ends`: no more is sent."""
    with socket.socket(socket.AF_UNIX) as made:
        made.settimeout(waiting.seconds)
        made.connect(str(path))
        made.sendall(text.encode())
        if ends:
            made.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := made.recv(65536):
            answer += piece
    return answer.decode(errors="backslashreplace")


def ask(path, command):
    """The answer to one command, without the empty line behind it."""
    answer = converse(path, f"{command}\n", ends=False)
    assert answer.endswith("\n"), answer
    return answer[:-1]


def stat(path, command="show stat"):
    """`show stat` as {(section, name): {column: text}}."""
    answer = ask(path, command)
    assert answer.startswith("# "), answer
    rows = csv.DictReader(io.StringIO(answer[2:]))
    return {(row["pxname"], row["svname"]): row for row in rows}


def info(path):
    return dict(line.split(": ", 1) for line in ask(path, "show info").splitlines() if line)


def sessions(path):
    """`show sess` as a list of {key: text}; the id is `id`. HAProxy shows the conversation itself, too."""
    found = []
    for line in ask(path, "show sess").splitlines():
        if line:
            name, rest = line.split(": ", 1)
            found.append({"id": name, **dict(word.split("=", 1) for word in rest.split(" ") if "=" in word)})
    return [each for each in found if each["fe"] != "GLOBAL"]
