"""The outcome of a soak as rows, and as the page docs/soak.md."""

import statistics
from collections import defaultdict

from rich.table import Table

from tests.soak import judgement


def compared(outcome):
    """Each quantity by epoch: memory, descriptors and threads of each part; then the keys of the whole soak."""
    epochs = defaultdict(list)
    for sample in outcome.samples:
        epochs[sample.epoch].append(sample)
    found = []
    for number, samples in epochs.items():
        if len(samples) < 4:
            continue  # the end of the last epoch
        where = f", part {number + 1}" if len(epochs) > 1 else ""
        for name in samples[0].parts:
            parts = [sample.parts[name] for sample in samples]
            found.append(judgement.memory(f"{name}: memory{where}", [part.pss for part in parts]))
            descriptors = [part.descriptors for part in parts]
            most = judgement.DESCRIPTORS_OF_JOBS if name == judgement.OF_JOBS else judgement.DESCRIPTORS
            found.append(judgement.count(f"{name}: descriptors{where}", descriptors, most))
            found.append(judgement.count(f"{name}: threads{where}", [p.threads for p in parts], judgement.THREADS))
    return [*found, *judgement.keys([sample.keys for sample in outcome.samples])]


def grown(outcome):
    """What has grown beyond its tolerance, as sentences."""
    return [f"{one.what}: {one.before:.0f}, then {one.after:.0f}" for one in compared(outcome) if one.has_grown]


def happened(outcome):
    """(what, value) of what was done and held."""
    settled = outcome.settled
    yield "length", f"{outcome.seconds / 60:.0f} min, seed {outcome.seed}"
    yield "deeds", ", ".join(f"{number} {deed}" for deed, number in sorted(outcome.deeds.items()))
    yield "commands repeated until acknowledged", str(outcome.repeated)
    yield "questions, each answered once", str(outcome.answers)
    yield "questions that were never acknowledged, because the bot was down", str(outcome.unacknowledged)
    yield "requests at the gateway while at rest", ", ".join(f"{n} {fate}" for fate, n in outcome.requests.items())
    yield "times at which machines were as wanted", str(len(settled))
    yield "seconds until they were, median and maximum", f"{statistics.median(settled):.1f}, {max(settled):.1f}"
    for name, number in sorted(outcome.disturbed.items()):
        yield name, str(number)


def rows(outcome):
    """(what, second quarter, last quarter, limit)"""
    for one in compared(outcome):
        limit = judgement.GROW.get(one.what, "") if one.most is None else f"{one.most:.0f}"
        grows = " GROWN" if one.has_grown else ""
        yield one.what, f"{one.before:.0f} {one.unit}".strip(), f"{one.after:.0f} {one.unit}".strip(), limit + grows


def tables(outcome):
    """For the terminal."""
    first = Table("what", "value", box=None, title="soak", title_justify="left")
    for row in happened(outcome):
        first.add_row(*row)
    second = Table("what", "second quarter", "last quarter", "limit", box=None)
    for row in rows(outcome):
        second.add_row(*row)
    return first, second


PAGE = """\
# Soak

`make soak` writes this page; `MINUTES=120` is its default length, and `SEED` chooses what happens. The bot, the
workers, the gateway with HAProxy and Valkey (every append on disk) run as processes of their own, against the
stand-ins of Slack, EC2 and GCE. People launch, scale, end and ask; meanwhile Slack, the clouds and the processes
fail. After each few deeds the failures end, and the soak waits until:

- the machines at both clouds are exactly those that are wanted, and each is a ready replica in its deployment's log;
- every acknowledged request is carried out, and shown on exactly one card;
- every question has exactly one message of the bot in its thread.

Then everything but one deployment is ended, the same load is sent, and the processes are measured. The medians of
the second and the last quarter are compared. The long-lived processes are killed in the first quarter of each
part of {epoch} minutes only, so that they grow older in the others. `make test-soak` does the same for four minutes.

## What happened

| what | value |
|---|---|
{happened}

## What was held

| what | second quarter | last quarter | limit |
|---|---|---|---|
{rows}
"""


def page(outcome, epoch):
    """docs/soak.md. `epoch`: seconds."""
    return PAGE.format(
        epoch=round(epoch / 60),
        happened="\n".join(f"| {what} | {value} |" for what, value in happened(outcome)),
        rows="\n".join(f"| {' | '.join(row)} |" for row in rows(outcome)),
    )
