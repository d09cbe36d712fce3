"""Checks the GitHub workflows with actionlint, and runs their scripts with stand-ins for gh and pulumi."""

import base64
import json
import os
import shutil
import stat
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.build.builder import build
from lab.build.target import compiler_version
from lab.build.targets import ACTIONLINT
from lab.errors import LabError
from lab.paths import REPOSITORY
from lab.progress import Progress
from tests import golden
from tools.pull_request.comment import MARKER

GITHUB = REPOSITORY / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yaml"))

needs_jq = pytest.mark.skipif(shutil.which("jq") is None, reason="jq, which GitHub's runners have, is not here")


@pytest.fixture(scope="module")
def actionlint() -> Path:
    try:
        compiler_version("go")
    except LabError as error:
        pytest.skip(str(error))
    build([ACTIONLINT], Progress())
    return ACTIONLINT.folder / "actionlint"


def linted(actionlint: Path, *files: Path) -> subprocess.CompletedProcess[str]:
    # Without shellcheck and pyflakes, which only some machines have.
    command = [actionlint, "-shellcheck=", "-pyflakes=", *files]
    return subprocess.run(command, check=False, cwd=REPOSITORY, capture_output=True, text=True)


def test_actionlint_has_nothing_to_say_of_the_workflows(actionlint: Path) -> None:
    done = linted(actionlint, *WORKFLOWS)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_actionlint_refuses_what_is_wrong(actionlint: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("on: push\njobs: {a: {needs: b, runs-on: ubuntu-24.04, steps: [{run: 'true'}]}}\n")
    assert linted(actionlint, wrong).returncode == 1


def jobs(workflow: str) -> dict[str, Any]:
    return yaml.safe_load((GITHUB / "workflows" / f"{workflow}.yaml").read_text())["jobs"]


def step(workflow: str, job: str, name: str) -> dict[str, Any]:
    (found,) = [item for item in jobs(workflow)[job]["steps"] if item.get("name") == name]
    return found


def test_each_environment_is_previewed_commented_deployed_and_looked_at_for_drift() -> None:
    environments = list(golden.ENVIRONMENTS)
    files = {path.name for path in REPOSITORY.glob("Pulumi.*.yaml")} - {"Pulumi.quickstart.yaml"}
    assert files == {f"Pulumi.{name}.yaml" for name in [*environments, "tutorial"]}
    for workflow, job in (("preview", "preview"), ("deploy", "preview"), ("drift", "drift")):
        assert jobs(workflow)[job]["strategy"]["matrix"]["environment"] == environments
    assert f"in {' '.join(environments)};" in step("preview", "comment", "Write the comment")["run"]
    order = [(name, job["needs"]) for name, job in jobs("deploy").items() if name != "preview"]
    assert order == list(zip(environments, ["preview", *environments], strict=False))


def test_the_environments_are_deployed_in_the_same_way() -> None:
    for name in golden.ENVIRONMENTS:
        job = {key: value for key, value in jobs("deploy")[name].items() if key != "needs"}
        assert job == {
            "permissions": {"contents": "read"},
            "uses": "./.github/workflows/update.yaml",
            "with": {"environment": name},
            "secrets": "inherit",
        }
    update = jobs("update")["update"]
    assert update["environment"] == "${{ inputs.environment }}"
    assert update["concurrency"] == {"group": "up-${{ inputs.environment }}", "cancel-in-progress": False}


@dataclass
class Runner:
    """Runs the workflows' scripts as a machine of GitHub's does."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict[str, str])

    def stand_in(self, program: str, script: str) -> None:
        """Puts a program on PATH, or beside that; it records the arguments of its calls."""
        file = self.folder / "bin" / program
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f'#!/usr/bin/env bash\necho "$*" >> "{self.folder}/{file.name}.calls"\n{script}\n')
        file.chmod(0o755)

    def calls(self, program: str) -> list[str]:
        """Returns the calls of a program, with this folder as `.`."""
        file = self.folder / f"{program}.calls"
        return file.read_text().replace(str(self.folder), ".").splitlines() if file.exists() else []

    def run(self, *command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs a command in the folder."""
        variables = self.environment | environment
        variables |= {"PATH": f"{self.folder}/bin:{os.environ['PATH']}", "RUNNER_TEMP": str(self.folder)}
        return subprocess.run(command, check=False, cwd=self.folder, env=variables, capture_output=True, text=True)

    def script(self, text: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs a step as GitHub does where a workflow names bash."""
        return self.run("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", text, **environment)


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(
        tmp_path,
        {
            "GITHUB_OUTPUT": str(tmp_path / "outputs"),
            "GITHUB_REPOSITORY": "team/tracing",
            "GITHUB_SERVER_URL": "https://github.example",
            "GITHUB_RUN_ID": "7",
            "GITHUB_REF_NAME": "main",
            "GITHUB_SHA": "c0ffee",
        },
    )


def page(*items: tuple[int, str, str | None]) -> str:
    """Returns a page of comments or issues (number, author, text) as GitHub's API answers it."""
    return json.dumps(
        [{"id": number, "number": number, "user": {"login": user}, "body": body} for number, user, body in items]
    )


PREVIEWS = f'cd "{REPOSITORY}" && exec "{sys.executable}" "$@"'
FIRST_PREVIEW = REPOSITORY / "tests" / "unit" / "pull_request" / "fixtures" / "first.json"
OURS = "github-actions[bot]"


@needs_jq
@pytest.mark.parametrize(
    ("pages", "call"),
    [
        ([page()], "POST repos/team/tracing/issues/5/comments"),
        # One of another user that quotes ours, and one of another workflow.
        ([page((1, "mallory", f"{MARKER}\n"), (2, OURS, "hello"))], "POST repos/team/tracing/issues/5/comments"),
        # Two of ours, on the second page.
        (
            [page((1, "mallory", MARKER)), page((3, OURS, f"{MARKER}\nold"), (4, OURS, f"{MARKER}\nolder"))],
            "PATCH repos/team/tracing/issues/comments/3",
        ),
    ],
)
def test_the_comment_is_written_once_and_kept_up_to_date(pages: list[str], call: str, runner: Runner) -> None:
    (runner.folder / "comment.md").write_text(f"{MARKER}\nnew\n")
    (runner.folder / "pages").write_text("".join(pages))
    runner.stand_in("gh", f'case "$*" in *--paginate*) cat "{runner.folder}/pages" ;; esac')
    done = runner.script(step("preview", "comment", "Post the comment")["run"], NUMBER="5")
    assert done.returncode == 0, done.stderr
    listed, written = runner.calls("gh")
    assert "repos/team/tracing/issues/5/comments" in listed
    assert written == f"api --silent --method {call} --field body=@./comment.md"


def test_the_comment_names_a_preview_that_left_nothing_as_failed(runner: Runner) -> None:
    runner.stand_in("python", PREVIEWS)
    run = "https://github.example/team/tracing/actions/runs/7"
    done = runner.script(step("preview", "comment", "Write the comment")["run"], COMMIT="c0ffee0", RUN=run)
    assert done.returncode == 0, done.stderr
    text = (runner.folder / "comment.md").read_text()
    assert text.startswith(MARKER)
    assert [name for name in golden.ENVIRONMENTS if f"### `{name}`\n" in text] == list(golden.ENVIRONMENTS)
    assert text.count("The preview left no file.") == 3
    assert f"## Pulumi preview of c0ffee0 ([run]({run}))\n" in text


def test_a_comment_that_cannot_be_written_says_so_in_the_place_of_the_one_before(runner: Runner) -> None:
    done = runner.script(
        step("preview", "comment", "Write why there is none")["run"], COMMIT="c0ffee0", RUN="https://r"
    )
    assert done.returncode == 0, done.stderr
    text = (runner.folder / "comment.md").read_text()
    assert text.startswith(f"{MARKER}\n## Pulumi preview of c0ffee0\n")
    assert "[the run](https://r) says why" in text
    # It runs whichever step failed before, and is posted.
    assert step("preview", "comment", "Write why there is none")["if"] == "${{ failure() }}"
    assert step("preview", "comment", "Post the comment")["if"] == "${{ !cancelled() }}"


def test_a_fork_is_told_that_it_is_not_previewed_though_it_sees_no_variables() -> None:
    # The test compares text: nothing here evaluates GitHub's expressions.
    fork, _, other = jobs("preview")["skipped"]["if"].partition(" || ")
    assert fork == "github.event.pull_request.head.repo.full_name != github.repository"
    assert "vars." in other


@pytest.mark.parametrize("workflow", ["preview", "deploy"])
def test_the_summary_of_a_run_has_the_preview(workflow: str, runner: Runner) -> None:
    runner.stand_in("../.venv/bin/python", PREVIEWS)
    runner.run("mkdir", "previews")
    shutil.copy(FIRST_PREVIEW, runner.folder / "previews" / "prod.json")
    summary = runner.folder / "summary"
    script = step(workflow, "preview", "Summary")["run"]
    done = runner.script(script, ENVIRONMENT="prod", GITHUB_SHA="c0ffee0", GITHUB_STEP_SUMMARY=str(summary))
    assert done.returncode == 0, done.stderr
    assert "### `prod`\n" in summary.read_text()
    assert "app.kubernetes.io/name: tempo" in summary.read_text()


DRIFT = "<!-- nginx-tracing drift of prod -->"
ISSUES = "repos/team/tracing/issues"


@needs_jq
@pytest.mark.parametrize(
    ("issues", "drifted", "calls"),
    [
        (page(), "false", []),
        (page((4, OURS, "<!-- nginx-tracing drift of dev -->\n"), (5, OURS, None)), "false", []),
        (
            page((8, OURS, f"{DRIFT}\nold")),
            "false",
            [
                f"api --silent --method POST {ISSUES}/8/comments --raw-field "
                "body=Nothing drifts any more: https://github.example/team/tracing/actions/runs/7",
                f"api --silent --method PATCH {ISSUES}/8 --raw-field state=closed",
            ],
        ),
        (
            page((8, OURS, f"{DRIFT}\nold")),
            "true",
            [f"api --silent --method PATCH {ISSUES}/8 --field body=@./body.md"],
        ),
        (
            page((4, OURS, "<!-- nginx-tracing drift of dev -->\n")),
            "true",
            [
                "label create drift --force --repo team/tracing --description A cluster is not as Pulumi left it",
                f"api --silent --method POST {ISSUES} --raw-field title=Drift in prod --raw-field labels[]=drift "
                "--field body=@./body.md",
            ],
        ),
    ],
)
def test_drift_has_one_issue_which_is_closed_when_it_is_gone(
    issues: str, drifted: str, calls: list[str], runner: Runner
) -> None:
    (runner.folder / "issues").write_text(issues)
    (runner.folder / "drift").write_text("Service nginx is gone\n```\n@everyone\n" + "x" * 100_000)
    runner.stand_in("gh", f'case "$*" in *--paginate*) cat "{runner.folder}/issues" ;; esac')
    done = runner.script(step("drift", "drift", "Issue")["run"], ENVIRONMENT="prod", DRIFTED=drifted)
    assert done.returncode == 0, done.stderr
    listed, *written = runner.calls("gh")
    assert f"{ISSUES}?state=open&labels=drift&creator=github-actions%5Bbot%5D" in listed
    assert written == calls
    if drifted == "true":
        body = (runner.folder / "body.md").read_text()
        assert body.startswith(f"{DRIFT}\n")
        # An indented code block, which no text can end.
        assert "\n\n    Service nginx is gone\n    ```\n    @everyone\n" in body
        assert len(body) < 65_536


@pytest.mark.parametrize(("status", "drifted"), [(0, "drifted=false\n"), (1, "drifted=true\n"), (2, None)])
def test_only_what_is_known_of_drift_reaches_the_issue(status: int, drifted: str | None, runner: Runner) -> None:
    runner.stand_in("../.venv/bin/python", f"echo report; exit {status}")
    done = runner.script(step("drift", "drift", "Look for drift")["run"], ENVIRONMENT="prod")
    assert done.returncode == (0 if drifted else 2)
    assert done.stdout == "report\n"
    assert runner.calls("python") == ["-m tools drift --stack prod"]
    outputs = runner.folder / "outputs"
    assert (outputs.read_text() if outputs.exists() else None) == drifted


def test_a_preview_that_fails_leaves_what_was_said_and_its_exit_code(runner: Runner) -> None:
    runner.stand_in("pulumi", "echo 'error: no stack named dev found' >&2; exit 255")
    done = runner.run(GITHUB / "scripts" / "preview.sh", "dev", "previews")
    assert (done.returncode, done.stderr) == (255, "error: no stack named dev found\n")
    assert (runner.folder / "previews" / "dev.json").read_text() == "error: no stack named dev found\n"


def test_a_preview_is_its_json_alone_with_the_policies_event_log_beside_it(runner: Runner) -> None:
    runner.stand_in("pulumi", 'echo "warning: $PULUMI_DEBUG_COMMANDS" >&2; echo "{}"; echo event > previews/dev.events')
    done = runner.run(GITHUB / "scripts" / "preview.sh", "dev", "previews")
    assert (done.returncode, done.stderr) == (0, "warning: true\n")
    (call,) = runner.calls("pulumi")
    assert "--stack dev " in call
    assert "--policy-pack policy " in call
    assert "--event-log previews/dev.events" in call
    files = {path.name: path.read_text() for path in (runner.folder / "previews").iterdir()}
    assert files == {"dev.json": "{}\n", "dev.events": "event\n"}


@pytest.mark.parametrize(("newest", "status"), [("c0ffee", 0), ("f00d", 1)])
def test_an_older_commit_than_the_newest_is_not_deployed(newest: str, status: int, runner: Runner) -> None:
    runner.stand_in("gh", f"echo {newest}")
    done = runner.run(GITHUB / "scripts" / "is-newest.sh")
    assert done.returncode == status
    assert (f"main is at {newest} by now" in done.stdout) == bool(status)
    assert runner.calls("gh") == ["api repos/team/tracing/commits/main --jq .sha"]


def test_an_update_is_of_the_environment_s_stack_with_the_policies(runner: Runner) -> None:
    runner.stand_in("pulumi", "exit 3")
    up = step("update", "update", "Up")
    assert up["env"]["ENVIRONMENT"] == "${{ inputs.environment }}"
    assert runner.script(up["run"], ENVIRONMENT="staging").returncode == 3
    assert runner.calls("pulumi") == ["up --stack staging --yes --non-interactive --policy-pack policy"]


def test_the_kubeconfig_is_a_file_for_the_runner_alone(runner: Runner) -> None:
    action = yaml.safe_load((GITHUB / "actions" / "stack" / "action.yaml").read_text())
    (script,) = [item["run"] for item in action["runs"]["steps"] if item.get("name") == "Kubeconfig"]
    done = runner.script(script, ENCODED=base64.b64encode(b"apiVersion: v1\n" * 20).decode())
    assert (done.returncode, done.stdout) == (0, "")
    file = runner.folder / "kubeconfig"
    assert (runner.folder / "outputs").read_text() == f"file={file}\n"
    assert file.read_bytes() == b"apiVersion: v1\n" * 20
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    missing = runner.script(script, ENCODED="")
    assert missing.returncode == 1
    assert "has no secret KUBECONFIG" in missing.stdout


def test_the_pulumi_cli_is_of_the_libraries_version(runner: Runner) -> None:
    action = yaml.safe_load((GITHUB / "actions" / "stack" / "action.yaml").read_text())
    (script,) = [item["run"] for item in action["runs"]["steps"] if item.get("name") == "Version of Pulumi"]
    (runner.folder / "requirements.txt").write_text((REPOSITORY / "requirements.txt").read_text())
    assert runner.script(script).returncode == 0
    assert (runner.folder / "outputs").read_text() == "version=3.259.0\n"


def osv(identifier: str, *aliases: str) -> str:
    """Returns the two messages of govulncheck about a flaw that it found."""
    flaw = {"osv": {"id": identifier, "aliases": list(aliases)}}
    return json.dumps(flaw) + json.dumps({"finding": {"osv": identifier, "trace": [{"module": "example"}]}})


@needs_jq
@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        ('{"config": {}}', 0, ""),
        (osv("GO-2026-0001", "CVE-2026-32254"), 0, ""),
        (
            osv("GO-2026-0001", "CVE-2026-32254") + osv("GO-2026-0002", "CVE-2026-9", "GHSA-x"),
            1,
            "kube-router:\nGO-2026-0002 CVE-2026-9 GHSA-x\n",
        ),
        # One that is in the database, and not in the program.
        ('{"osv": {"id": "GO-2026-0003"}}', 0, ""),
    ],
)
def test_a_known_flaw_of_the_lab_s_programs_is_explained_in_its_page_or_fails_the_night(
    answer: str, status: int, said: str, runner: Runner
) -> None:
    (runner.folder / "lab").mkdir()
    shutil.copy(REPOSITORY / "lab" / "README.md", runner.folder / "lab")
    runner.stand_in("go", "echo pieces/1/kube-router: go1.26.7")
    runner.stand_in("govulncheck", f"cat <<'END'\n{answer}\nEND")
    done = runner.run(GITHUB / "scripts" / "flaws.sh", "pieces")
    assert (done.returncode, done.stdout, done.stderr) == (status, said, "")
    assert runner.calls("govulncheck") == ["-format json -mode binary pieces/1/kube-router"]


def test_a_night_without_the_lab_s_programs_finds_no_flaws_and_fails(runner: Runner) -> None:
    runner.stand_in("go", "")
    done = runner.run(GITHUB / "scripts" / "flaws.sh", "pieces")
    assert (done.returncode, done.stderr) == (2, "No Go program is in pieces: the cache of the checks is empty.\n")


BRANCH = "renovate/versions"


@pytest.fixture
def regenerated(runner: Runner) -> Path:
    """Returns a clone of a repository with a branch of Renovate's, and the folder `origin` beside it."""
    clone = runner.folder / "clone"
    script = f"""
    git init --quiet --bare origin; git clone --quiet origin clone 2>/dev/null
    cd clone; git checkout --quiet -b {BRANCH}
    mkdir -p tests/golden/dev settings; echo old | tee tests/golden/dev/a.yaml Pulumi.yaml > settings/sets.py
    git add .; git -c user.name=a -c user.email=a@example commit --quiet -m first; git push --quiet origin HEAD
    """
    done = runner.script(script)
    assert done.returncode == 0, done.stderr
    return clone


def run_in(runner: Runner, folder: Path, job: str, name: str) -> subprocess.CompletedProcess[str]:
    return runner.script(f"cd {folder}\n{step('regenerate', job, name)['run']}", GITHUB_REF_NAME=BRANCH)


def test_a_branch_of_renovate_gets_the_regenerated_files_and_its_checks(runner: Runner, regenerated: Path) -> None:
    runner.stand_in("gh", "")
    (regenerated / "tests" / "golden" / "dev" / "new.yaml").write_text("new\n")
    (regenerated / "Pulumi.yaml").write_text("new\n")
    # What the untrusted job changed besides does not get into the commit.
    (regenerated / "settings" / "sets.py").write_text("import os\n")
    assert run_in(runner, regenerated, "difference", "Difference").returncode == 0
    assert (runner.folder / "outputs").read_text() == "changed=true\n"
    runner.script("cd clone && git reset --quiet --hard")
    done = run_in(runner, regenerated, "push", "Commit and push")
    assert done.returncode == 0, done.stderr
    written = runner.script(f"cd origin && git show --name-only --format=%ae {BRANCH}").stdout.split()
    assert written == [
        "41898282+github-actions[bot]@users.noreply.github.com",
        "Pulumi.yaml",
        "tests/golden/dev/new.yaml",
    ]
    assert written[0] in json.loads((GITHUB / "renovate.json").read_text())["gitIgnoredAuthors"]
    assert runner.calls("gh") == ["auth setup-git", f"workflow run checks.yaml --ref {BRANCH}"]


def test_a_branch_that_needs_nothing_regenerated_gets_no_commit(runner: Runner, regenerated: Path) -> None:
    assert run_in(runner, regenerated, "difference", "Difference").returncode == 0
    assert not (runner.folder / "outputs").exists()
    (regenerated / "settings" / "sets.py").write_text("import os\n")
    run_in(runner, regenerated, "difference", "Difference")
    runner.script("cd clone && git reset --quiet --hard")
    assert run_in(runner, regenerated, "push", "Commit and push").returncode == 1


def test_the_job_that_runs_a_branch_s_code_may_only_read_and_the_one_that_writes_runs_none() -> None:
    assert jobs("regenerate")["difference"]["permissions"] == {"contents": "read"}
    writing = jobs("regenerate")["push"]
    assert writing["permissions"] == {"contents": "write", "actions": "write"}
    scripts = [item["run"] for item in writing["steps"] if "run" in item]
    assert not any(word in script for script in scripts for word in ("make ", "python", "pip ", "./"))
