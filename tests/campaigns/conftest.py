"Campaigns: many seeded attempts to break a promise. A small sample of each runs with all tests; `pytest -m campaign tests/campaigns` runs the whole and writes its figures to tests/CAMPAIGNS.md"
import contextlib, datetime, io, os, platform, re, signal, sys
from pathlib import Path
import pytest

TABLE = Path(__file__).parents[1]/"CAMPAIGNS.md"
HEAD = """# Campaigns

What the last run of `pytest -m campaign tests/campaigns` found, a line for each campaign. A small sample of each runs
with all other tests. Counts are attempts that kept the promise, of all attempts.

| campaign | promise | kept | of | figures | date | versions |
|---|---|---|---|---|---|---|
"""

@pytest.fixture
def record(request):
    "Store the figures of a campaign; of a sample, nothing"
    whole = request.node.get_closest_marker("campaign") is not None
    def write(campaign, promise, kept, of, figures=""):
        if not whole: return
        import torch, transformers
        versions = f"Python {platform.python_version()}, torch {torch.__version__}, transformers {transformers.__version__}"
        lines = TABLE.read_text().splitlines() if TABLE.exists() else []
        rows = {re.split(r" *\| *", x)[1]: x for x in lines if x.startswith("| ") and not x.startswith("| campaign")}
        rows[campaign] = f"| {campaign} | {promise} | {kept:,} | {of:,} | {figures} | {datetime.date.today()} | {versions} |"
        TABLE.write_text(HEAD + "\n".join(rows[k] for k in sorted(rows)) + "\n")
    return write

class Forked:
    "How a command ended in a process of its own"
    def __init__(self, status, text): self.status, self.text = status, text

@pytest.fixture
def forked(tmp_path):
    "Run a command in a child of this process, which has imported what it needs: exit status (negative: the signal) and what it said"
    import mnreward.training, mnreward.scoring, mnreward.tldr  # noqa: F401
    def run(*argv, before=lambda: None, seconds=120):
        said = tmp_path/"said.txt"
        sys.stdout.flush(), sys.stderr.flush()
        pid = os.fork()
        if not pid:
            status = 70
            try:
                signal.alarm(seconds)
                fd = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                os.dup2(fd, 1), os.dup2(fd, 2)
                sys.stdout = sys.stderr = open(fd, "w", buffering=1, closefd=False)
                from mnreward.cli import main
                before()
                if callable(argv[0]): status = argv[0]() or 0
                else: status = main([str(a) for a in argv]) or 0
            except SystemExit as e: status = e.code if isinstance(e.code, int) else 2
            except BaseException:
                import traceback
                traceback.print_exc()
            finally:
                with contextlib.suppress(Exception): sys.stdout.flush()
                os._exit(status)
        _, status = os.waitpid(pid, 0)
        return Forked(os.waitstatus_to_exitcode(status), said.read_text(errors="replace"))
    return run

@pytest.fixture
def command():
    "Run a command in this process: (exit status or the exception, lines of standard error)"
    from mnreward.cli import main
    def run(*argv):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try: status = main([str(a) for a in argv]) or 0
            except SystemExit as e: status = e.code
            except Exception as e: status = e
        return status, [x for x in err.getvalue().splitlines() if x.startswith("mnreward:")]
    return run
