"""The implementation under test, started by its adapter and observed from outside.

The lab knows an implementation only by its adapter, an executable that becomes the proxy. The proxy is ready when its
listening sockets exist; it does not report that. A proxy that ends before that fails the test with its log. Status 78
means that it does not offer what the scenario needs; status 69 means that a program is not installed.
"""

import contextlib
import functools
import json
import os
import resource
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from lab import paths, waiting
from lab.exceptions import Absent, Unsupported
from lab.netns import sockets
from lab.netns.endpoint import Endpoint
from lab.peers import description, http, log_lines
from lab.peers.description import UNAVAILABLE

UNSUPPORTED = 78
LOW_PRIORITY = 10  # a tenth of what an ordinary process gets
LOOKS_AT_BUSY = 5


class ProxyEnded(AssertionError):
    """The proxy ended by itself; the text has its status and its log."""


def refusal(status, text):
    """The exception for an adapter's exit status 78 or 69, or None."""
    if status == UNSUPPORTED:
        return Unsupported(text.strip().removeprefix("unsupported: "))
    if status == UNAVAILABLE:
        return Absent(text.strip())
    return None


def about_log(text):
    """The end of a message that shows a log."""
    return f"its log:\n{text}" if text.strip() else "its log is empty"


class Implementation:
    """An adapter, by the name of a file in implementations/ or by its path."""

    def __init__(self, name):
        """Find the adapter; FileNotFoundError, with what to type, where there is none.

        A link is not followed: an adapter may look at the name by which it was started.
        """
        known = paths.IMPLEMENTATIONS / name
        self.path = known if known.is_file() else Path(name).absolute()
        if problem := description.not_an_adapter(self.path, known):
            raise FileNotFoundError(f"no adapter: {problem}")
        self.name = name

    @functools.cached_property
    def capabilities(self):
        """The capabilities that it claims."""
        return frozenset(self.describe()["capabilities"])

    @functools.cached_property
    def dialect(self):
        """The dialect that it names; see lab.peers.dialect."""
        return self.describe().get("dialect")

    def must_claim(self, names):
        """Raise Unsupported unless all of the capabilities are claimed; the text says where the dialect is the reason."""
        lacking = sorted(set(names) - self.capabilities)
        if "stream" in lacking and "http" in (self.dialect or {}).values():
            raise http.unsupported("stream of bytes", lacking)
        if lacking:
            raise Unsupported(f"not claimed: {', '.join(lacking)}", needs=lacking)

    @functools.lru_cache(maxsize=None)
    def describe(self):
        """What `adapter describe` prints, in the form of its schema; see lab.peers.description."""
        return description.ask(self.path, self.name)


@functools.lru_cache(maxsize=None)
def adapter(name):
    """The implementation of that name, which is asked once a process what it says of itself: that starts two programs."""
    return Implementation(name)


class Proxy:
    """A running proxy: the process that the adapter became, and those that it started in turn."""

    def __init__(self, host, command, scenario, folder, output=None):
        """Start `command` on the host; it is ready when all listeners of the scenario exist.

        `output` is a descriptor for its standard output and error; by default they go to the file that log() reads.
        """
        self.host = host
        self.scenario = scenario
        self.sources = [scenario["source"]]  # of all its scenarios
        self.listens = set(endpoints(scenario))
        self.datagrams = scenario["protocol"] == "udp"
        self.intercepts = scenario["destination"] == "original"
        self.folder = folder
        self._log = folder / "log"
        with host.namespace, open(self._log, "wb") as log:
            output = log if output is None else output
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=folder, start_new_session=True
            )
        self.pid = self.process.pid

    def log(self):
        return self._log.read_text(encoding="utf-8", errors="replace")

    def must_name(self, address, usual, usual_address):
        """The start has failed, and a line of the log names the address; `usual` is the proxy of a start that succeeded."""
        named = log_lines.of_failure(self.log(), address, usual.log(), usual_address)
        assert named, f"no line in the log names {address} and says what failed; {about_log(self.log())}"

    def await_ready(self):
        """Wait until a socket serves each of its listeners. A look is expensive: see lab.netns.sockets."""
        families = {each.family for each in self.listens}

        def ready():
            self.check()
            found = self.host.datagram_sockets() if self.datagrams else self.host.sockets("LISTEN", families)
            return all(any(sockets.serves(local, each) for _, local, _ in found) for each in self.listens)

        waiting.until(ready, f"the proxy listens at {sorted(map(str, self.listens))}\n{self.log()}", pause=0.02)
        return self

    def check(self):
        """Raise when the proxy has ended."""
        status = self.process.poll()
        if status is not None:
            raise refusal(status, self.log()) or ProxyEnded(f"the proxy ended with status {status}; {about_log(self.log())}")

    def await_end(self):
        """Wait until it ends by itself; return its exit status."""
        try:
            status = self.process.wait(waiting.seconds)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"the proxy does not end within {waiting.seconds:g} s; {about_log(self.log())}") from None
        if refused := refusal(status, self.log()):
            raise refused
        return status

    def serves(self, endpoint):
        """Whether one of its listeners is the one for an endpoint."""
        return self.intercepts or any(sockets.serves(each, endpoint) for each in self.listens)

    @property
    def uses_clients_address(self):
        """Whether servers see the client's address, with any port."""
        return self.scenario["source"]["mode"] == "clientip"

    def signal(self, number):
        self.process.send_signal(number)

    @contextlib.contextmanager
    def paused(self):
        """Stop its processes meanwhile (SIGSTOP). The kernel still receives their packets."""
        stopped = self.processes()
        _kill(stopped, signal.SIGSTOP)
        try:
            waiting.until(lambda: all(_stat(pid)[:1] not in (["R"], ["S"], ["D"]) for pid in stopped), "it stands still")
            yield
        finally:
            _kill(stopped, signal.SIGCONT)

    def processes(self):
        """Its process and those of its session that it started."""
        return [pid for pid in _numbers("/proc") if _session_of(pid) == self.pid]

    def descriptors(self):
        """How many descriptors they hold."""
        return sum(len(_numbers(f"/proc/{pid}/fd")) for pid in self.processes())

    def await_descriptors(self, most):
        """Wait until they hold no more than `most`. It may last as long as the number falls: thousands of processes end slowly."""
        lowest = self.descriptors() + 1

        def falls():
            self.check()
            now = self.descriptors()
            return [now] if now < lowest else []

        while lowest > most:
            (lowest,) = waiting.until(falls, f"the proxy has {most} descriptors again")

    def must_keep_its_descriptors(self, run, rounds=3):
        """run() is a round of sessions. A runtime may keep a few for later, more of them in one round than in another; what
        sessions leave behind grows in each."""
        for left in reversed(range(rounds)):
            before = self.descriptors_without_sessions()
            run()
            try:
                return self.await_descriptors(before)
            except TimeoutError:
                if not left:
                    raise

    def descriptors_without_sessions(self):
        """The descriptors that they keep between sessions: the smallest number that is seen once all have ended."""
        waiting.until(lambda: not self.host.sockets("ESTABLISHED"), "the sessions have ended")
        counts = []
        waiting.until(lambda: counts.append(self.descriptors()) or len(counts) > 10, "ten counts")
        return min(counts)

    def pipes(self):
        """The pipes that they hold, by the names that /proc/PID/fd gives them."""
        found = set()
        for pid in self.processes():
            for number in _numbers(f"/proc/{pid}/fd"):
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it was closed meanwhile
                    found.add(os.readlink(f"/proc/{pid}/fd/{number}"))
        return {name for name in found if name.startswith("pipe:")}

    def resident(self):
        """How many bytes of memory they hold in sum: the resident set of /proc/PID/statm."""
        pages = 0
        for pid in self.processes():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
                pages += int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * resource.getpagesize()

    def allow_descriptors(self, count):
        """Lower the limit of its running processes."""
        for pid in self.processes():
            try:
                resource.prlimit(pid, resource.RLIMIT_NOFILE, (count, count))
            except PermissionError:  # it runs as another user, and root here lacks CAP_SYS_RESOURCE
                raise Absent("another user's limits may not be changed here") from None

    def stand_back(self, processor):
        """Bind its processes to one processor, with low priority."""
        for pid in self.processes():
            for task in _numbers(f"/proc/{pid}/task"):
                try:
                    os.sched_setaffinity(task, {processor})
                    os.setpriority(os.PRIO_PROCESS, task, LOW_PRIORITY)
                except ProcessLookupError:  # it has ended meanwhile
                    continue
                except PermissionError:  # as in allow_descriptors()
                    raise Absent("another user's priority may not be changed here") from None
        group = Path(f"/proc/{self.pid}/autogroup")  # sched(7): where there is one, priorities count within a session alone
        if group.exists():
            waiting.until(lambda: _write(group, str(LOW_PRIORITY)), "the kernel changes the session's priority")

    def await_rest(self, unless=lambda: False):
        """Wait until all its tasks sleep, ten looks in a row, or until `unless()` is true."""
        looks = []

        def rests():
            looks.append({_stat(f"{pid}/task/{task}")[:1] == ["S"] for pid in self.processes() for task in _numbers(f"/proc/{pid}/task")})
            return unless() or looks[-10:] == [{True}] * 10

        waiting.until(rests, "the proxy has nothing to do")

    def writes_to_a_full_pipe(self):
        """Whether one of its tasks sleeps in a write to a pipe: what /proc/PID/wchan says, where the kernel has names (proc(5))."""
        found = []
        for pid in self.processes():
            for task in _numbers(f"/proc/{pid}/task"):
                with contextlib.suppress(OSError):  # it has ended meanwhile, or may not be looked at
                    found.append(Path(f"/proc/{pid}/task/{task}/wchan").read_text(encoding="ascii"))
        return any("pipe" in name and "read" not in name for name in found)

    def privileges(self):
        """(ids of users and groups, capabilities) of each of its processes, from /proc."""
        for pid in self.processes():
            text = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
            fields = dict(line.split(":", 1) for line in text.splitlines())
            sets = [int(fields[name], 16) for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")]
            ids = {int(number) for name in ("Uid", "Gid", "Groups") for number in fields[name].split()}
            yield ids, sets[0] | sets[1] | sets[2] | sets[3]

    def busy_share(self, ends, seconds=1.0):
        """The share of the time in which they ran or waited for a processor, while no bytes reach the ends of connections.

        A proxy that polls without a pause has a share near 1 whenever one looks, on a loaded machine, too. One that wakes now
        and then has to wait for a processor there, but not each time. So what they ran counts at once, and what they waited in
        the least busy of some looks.
        """
        shares = []
        while not shares or min(shares) >= 0.5 and len(shares) < LOOKS_AT_BUSY:
            begun, ran, busy = time.monotonic(), self.processor_seconds(), self._busy_seconds()
            waiting.readable([end.socket for end in ends], seconds)
            passed = time.monotonic() - begun
            if (self.processor_seconds() - ran) / passed >= 0.5:
                return (self._busy_seconds() - busy) / passed
            shares.append((self._busy_seconds() - busy) / passed)
        return min(shares)

    def _busy_seconds(self):
        return max(self._scheduled_seconds(), self.processor_seconds())

    def _scheduled_seconds(self):
        """From the scheduler's statistics (Documentation/scheduler/sched-stats.rst); 0 if the kernel has none."""
        nanoseconds = 0
        for pid in self.processes():
            for task in _numbers(f"/proc/{pid}/task"):
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
                    ran, waited, _ = Path(f"/proc/{pid}/task/{task}/schedstat").read_text(encoding="ascii").split()
                    nanoseconds += int(ran) + int(waited)
        return nanoseconds / 1e9

    def processor_seconds(self):
        """How much processor time they have used so far, those that have ended left out."""
        ticks = [int(fields[11]) + int(fields[12]) for pid in self.processes() if (fields := _stat(pid))]
        return sum(ticks) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        """End it and all processes that it started; kill them if they do not end."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(waiting.seconds)
        self.kill()

    def kill(self):
        """Kill it and all processes that it started."""
        self.process.kill()
        self.process.wait()
        _kill(self.processes(), signal.SIGKILL)


def _kill(processes, number):
    for pid in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _numbers(folder):
    """Names in a folder of /proc that are numbers; none when it is gone."""
    try:
        return [int(name) for name in os.listdir(folder) if name.isdigit()]
    except FileNotFoundError:
        return []


def _write(path, text):
    """Write a text; return whether the kernel accepted it."""
    try:
        path.write_text(text, encoding="ascii")
    except BlockingIOError:
        return False
    return True


def _stat(pid):
    """Fields of /proc/PID/stat from the state on; none when the process is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _session_of(pid):
    fields = _stat(pid)
    return int(fields[3]) if fields else None


def run_adapter(implementation, host, scenario, folder, nofile=None, without=(), output=None):
    """Start an implementation on a scenario, with `folder` for its files.

    `nofile` is its descriptor limit; `without` names capabilities that it loses; `output` is as for Proxy.
    """
    path = folder / "scenario.json"
    path.write_text(json.dumps(scenario, indent=2) + "\n", encoding="utf-8")
    command = [*_limits(nofile, without), str(implementation.path), "run", str(path), str(folder)]
    return Proxy(host, command, scenario, folder, output)


def reload_adapter(implementation, proxy, scenario):
    """Run the adapter's `reload`, so that the running proxy uses another scenario."""
    path = proxy.folder / "scenario.json"
    path.write_text(json.dumps(scenario, indent=2) + "\n", encoding="utf-8")
    command = [implementation.path, "reload", str(path), str(proxy.folder), str(proxy.pid)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if refused := refusal(done.returncode, done.stderr):
        raise refused
    assert done.returncode == 0, f"the adapter's reload ended with status {done.returncode}: {done.stderr}"
    proxy.listens = set(endpoints(scenario))
    proxy.sources.append(scenario["source"])


def new_folder():
    """A new folder for the files of one proxy; it ends with the run."""
    return Path(tempfile.mkdtemp(prefix="proxy-", dir=paths.RUN))


def endpoints(scenario):
    """All addresses and ports at which a scenario has listeners."""
    for listener in scenario["listeners"]:
        for port in range(listener["port"], listener.get("port_last", listener["port"]) + 1):
            yield Endpoint(listener["address"], port)


def _limits(nofile, without):
    command = []
    if nofile is not None:
        command += ["prlimit", f"--nofile={nofile}:{nofile}"]
        without = (*without, "sys_resource")  # or it may raise the limit again
    if without:
        dropped = ",".join(f"-{name}" for name in without)
        command += ["setpriv", f"--bounding-set={dropped}", f"--inh-caps={dropped}"]
    return command
