"""`mixtral-bot plan`: the outside contract's JSON, and a table that people can read."""

import io
import json
import subprocess
import sys

import pytest

from bot.cli.plan_command import run
from workers.placement.catalog import COLUMNS
from workers.placement.limits import Limits

FIELDS = {"cloud", "region", "zone", "instance_type", "accelerator", "count", "spot", "usd_per_hour"}


@pytest.fixture
def environ(tmp_path):
    return {"HOME": str(tmp_path), "MIXTRAL_HOME": str(tmp_path / "home")}


def planned(recipe, environ, *, spot=False, as_json=True, **limits):
    out, err = io.StringIO(), io.StringIO()
    code = run(recipe, limits=Limits(spot=spot, **limits), as_json=as_json, environ=environ, out=out, err=err)
    return code, out.getvalue(), err.getvalue()


def rows(recipe, environ, **options):
    code, out, err = planned(recipe, environ, **options)
    assert code == 0
    return json.loads(out), err


def test_json_is_a_list_cheapest_first_a_zone_each(environ):
    found, err = rows("mixtral-8x7b", environ)
    assert all(row.keys() >= FIELDS for row in found)
    assert [row["usd_per_hour"] for row in found] == sorted(row["usd_per_hour"] for row in found)
    assert len({(row["zone"], row["instance_type"]) for row in found}) == len(found)
    assert (found[0]["accelerator"], found[0]["count"], found[0]["usd_per_hour"]) == ("L4", 8, 7.9771)
    assert found[0]["reason"] == "GCP: no credentials found"
    assert not any(row["usable"] or row["spot"] or row["doubtful"] for row in found)
    assert err == ""


def test_spot_is_cheapest_first_with_the_doubtful_ones_last(environ):
    found, _ = rows("mixtral-8x7b", environ, spot=True)
    assert (found[0]["zone"], found[0]["usd_per_hour"]) == ("eun1-az1", 2.1614)
    assert [bool(row["doubtful"]) for row in found] == sorted(bool(row["doubtful"]) for row in found)


def test_what_is_unknown_is_null(environ, tmp_path):
    (tmp_path / "p.csv").write_text(",".join(COLUMNS) + "\ngcp,r,r-a,t,A100,8,40,96,680,1.5,\n")
    found, _ = rows("mistral-7b", {**environ, "MIXTRAL_PRICES": str(tmp_path / "p.csv")})
    assert {("g5.xlarge", None, None), ("g6.xlarge", None, None), ("g2-standard-4", None, None)} <= {
        (r["instance_type"], r["usd_per_hour"], r["zone"]) for r in found
    }


def test_this_machine_is_the_rung_of_a_recipe_without_a_gpu(environ):
    found, _ = rows("smollm2-135m", environ)
    assert [(row["cloud"], row["usd_per_hour"], row["usable"]) for row in found] == [("local", 0.0, True)]


def test_where_nothing_fits_the_list_is_empty_and_a_sentence_says_why(environ):
    found, err = rows("smollm2-135m", {**environ, "MIXTRAL_CLOUDS": "aws"})
    assert found == []
    assert "asks for no GPU" in err
    code, out, err = planned("smollm2-135m", {**environ, "MIXTRAL_CLOUDS": "aws"}, as_json=False)
    assert (code, out) == (0, "")
    assert "asks for no GPU" in err


def test_a_file_is_planned_like_a_recipe_and_its_notes_are_said(environ, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("run: x\nworkdir: .\nresources: {accelerators: {A100:3, A100:8}}\n")
    found, err = rows(str(file), environ)
    assert {row["accelerator"] for row in found} == {"A100"}
    assert "line 2: workdir:" in err
    _, out, _ = planned(str(file), environ, as_json=False)
    assert "Line 2, workdir:" in out
    assert "A100:3: no machine has 3 of this GPU" in out


@pytest.mark.parametrize(
    ("recipe", "more", "says"),
    [
        ("mixtral", {}, 'no recipe is called "mixtral"; did you mean mixtral-8x7b?'),
        ("none.yaml", {}, "none.yaml: cannot be read: No such file"),
        ("mixtral-8x7b", {"MIXTRAL_PRICES": "/none.csv"}, "/none.csv cannot be read"),
        ("mixtral-8x7b", {"MIXTRAL_RECIPES": "/none"}, "MIXTRAL_RECIPES must name folders"),
    ],
)
def test_a_mistake_is_one_sentence_and_status_2(environ, recipe, more, says):
    code, out, err = planned(recipe, {**environ, **more})
    assert (code, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1


def test_prices_of_ones_own_are_used(environ, tmp_path):
    header = (
        "cloud,region,zone,instance_type,accelerator,count,gpu_memory_gib,vcpus,memory_gib,on_demand_usd_h,spot_usd_h"
    )
    (tmp_path / "p.csv").write_text(f"{header}\ngcp,r,r-a,t,A100,8,40,96,680,1.5,\n")
    found, _ = rows("mixtral-8x7b", {**environ, "MIXTRAL_PRICES": str(tmp_path / "p.csv")})
    assert [row["usd_per_hour"] for row in found if row["usd_per_hour"]] == [1.5]
    _, out, _ = planned("mixtral-8x7b", {**environ, "MIXTRAL_PRICES": str(tmp_path / "p.csv")}, as_json=False)
    assert "Prices from p.csv" in out


def test_no_zone_is_cut_on_a_narrow_terminal(environ, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = planned("mixtral-8x7b", environ, as_json=False)
    assert "northamerica-northeast1" in out
    assert "\N{HORIZONTAL ELLIPSIS}" not in out.partition("more, up to")[0].rpartition("\n")[0]


@pytest.mark.parametrize(("columns", "says"), [(80, " no"), (120, "GCP: no credentials found")])
def test_the_table_folds_zones_and_fits_the_terminal(environ, monkeypatch, columns, says):
    monkeypatch.setenv("COLUMNS", str(columns))
    code, out, err = planned("mixtral-8x7b", environ, as_json=False)
    assert (code, err) == (0, "")
    assert max(len(line) for line in out.splitlines()) <= columns
    first = next(line for line in out.splitlines() if "7.98" in line)
    assert "us-east4-a, c" in first
    assert says in first
    assert "Prices read in 2026-11" in out
    assert "aws configure" in " ".join(out.split())


def test_a_doubtful_price_is_marked_in_the_table(environ, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    (tmp_path / "h.yaml").write_text("run: x\nresources: {accelerators: H100:1, use_spot: true, cloud: aws}")
    _, out, _ = planned(str(tmp_path / "h.yaml"), environ, as_json=False)
    assert "6.88?" in out
    assert "us-east-1 (use1-az1, az2, az3, az4, az5, az6)" in " ".join(out.split())
    assert "? a doubtful price" in out


def test_planning_leaves_nothing_behind(environ, tmp_path):
    planned("smollm2-135m", environ)
    assert list(tmp_path.iterdir()) == []


def test_the_command_loads_nothing_that_takes_long():
    """Its speed is for `make bench` to print; this is what it rests on."""
    code = "from bot.cli.__main__ import main\ntry: main()\nfinally: import sys; print(*sys.modules, file=sys.stderr)"
    command = [sys.executable, "-c", code, "plan", "mixtral-8x7b", "--json"]
    answer = subprocess.run(command, capture_output=True, check=True, text=True)
    assert len(json.loads(answer.stdout)) == 198
    loaded = {name.partition(".")[0] for name in answer.stderr.split()}
    assert loaded.isdisjoint({"boto3", "botocore", "google", "slack_bolt", "slack_sdk", "rq", "redis", "httpx"})
