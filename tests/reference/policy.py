"""The page of the policy, from its sections' types, with examples that a test reads."""

import ast
from pathlib import Path

from tests.reference.events import fields_of, flat
from tests.reference.source import modules
from workers.policy.schema import SECTIONS

MODULES = {"keys": "key_limits"}
"""The modules of the sections that have another name."""

INTRODUCTION = """# The policy

The file of `MIXTRAL_POLICY` is YAML with the sections below; each may be left out. The bot reads it when it starts,
and within a few seconds after each change. A file with a mistake is refused as a whole, with its line and field: the
bot does not start with it, and a running bot keeps the last good one, logs the mistake, and shows it to admins on the
Home tab. `mixtral-bot check` reads the file, too. Amounts are in USD."""

RULES = """The **first rule that matches** the person and the channel decides; later rules are not read. Where no
rule matches, everything is as without a policy. The channel is the one in which a deployment was or is
to be launched, wherever the person writes. No rule binds the people in `MIXTRAL_ADMINS`. A rule without
`may` allows every deed except `approve`, which is for admins then. Guests launch only under a rule that
names `guests` or that guest. While Slack does not return the members of a user group, a rule that depends
on it allows nothing.

`scale`, `end` and `see keys` are for co-owners: the launcher, the people whom they named by `/mixtral
share`, and the admins. `of_others` opens them to everyone whom the rule concerns."""

TEXTS = {
    "rules": RULES,
    "groups": "Each name has a list of people, user groups (`S…`) or other names. A cycle is refused.",
}

EXAMPLES = {
    "groups": """groups:
  leads: [U0ADA000001, U0NOOR00001]
  research: [S0RESEARCH1, leads]
""",
    "rules": """groups:
  leads: [U0ADA000001]
rules:
  - people: [leads]
    may: [look, ask, launch, scale, end, see keys, see logs, approve]
    of_others: true
  - channels: [C0PROD00001]
    may: [look, ask]
  - people: [S0RESEARCH1]
    usd_per_hour: 30
    usd_per_hour_at_once: 60
    gpus: [A100-80GB, L4]
  - people: [everyone]
    usd_per_hour: 5
    clouds: [gcp]
    spot: true
  - may: [look, ask]
""",
}


def page() -> str:
    """The text of docs/reference/policy.md."""
    return "\n\n".join([INTRODUCTION, *map(_section, SECTIONS)])


def _section(name: str) -> str:
    path = Path(f"workers/policy/{MODULES.get(name, name)}.py")
    tree = modules()[path]
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and _is_struct(node)]
    about = flat(ast.get_docstring(tree)).removeprefix("PURE: ")
    parts = [f"## {name}", f"{about[0].upper()}{about[1:]}", TEXTS.get(name, "")]
    for node in classes:
        fields = fields_of(node.body)
        parts += [*([f"### {node.name}"] if len(classes) > 1 else []), flat(ast.get_docstring(node)), fields]
    if name in EXAMPLES:
        parts.append(f"```yaml\n{EXAMPLES[name].rstrip()}\n```")
    return "\n\n".join(part for part in parts if part)


def _is_struct(node: ast.ClassDef) -> bool:
    return any(isinstance(base, ast.Name) and base.id == "Struct" for base in node.bases)
